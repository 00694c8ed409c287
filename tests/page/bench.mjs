#!/usr/bin/env node
// How quick the time line is: from a click to the first picture of that moment, and pictures while a finger scrubs four
// cameras. `MOONFIRE_NVR=target/release/moonfire-nvr node tests/page/bench.mjs [SECONDS]` records so long first.

import { launch, open } from "./browsers.mjs";
import { Camera, Recorder, until } from "./recorder.mjs";
import { setUp, signIn } from "./views.mjs";

const SECONDS = Number(process.argv[2] ?? 120);
const CLICKS = 60;
const SCRUB_MS = 6000;

/** @param {number[]} all @param {number} share */
const quantile = (all, share) => [...all].sort((a, b) => a - b)[Math.min(all.length - 1, Math.floor(all.length * share))];

/** Runs in the page: clicks at a share of the strip, and waits for pictures. @param {number} share */
async function click(share) {
  const strip = /** @type {HTMLElement} */ (document.querySelector(".strips"));
  const pane = /** @type {HTMLElement} */ (document.querySelector(".pane"));
  const video = /** @type {HTMLVideoElement} */ (pane.querySelector("video:not(.leaf)"));
  const leaf = /** @type {HTMLVideoElement} */ (pane.querySelector("video.leaf"));
  const image = /** @type {HTMLImageElement} */ (pane.querySelector("img.leaf"));
  const box = strip.getBoundingClientRect();
  strip.setPointerCapture = () => {};
  const at = { pointerId: 1, button: 0, clientX: box.left + box.width * share, clientY: box.top + 40, bubbles: true };
  const start = performance.now();
  let first = 0;
  let whole = 0;
  const none = new Promise((ok) => setTimeout(ok, 10000));
  const full = new Promise((ok) => {
    video.requestVideoFrameCallback(() => {
      whole = performance.now() - start;
      first ||= whole;
      ok(null);
    });
  });
  const mark = () => (first ||= performance.now() - start);
  leaf.requestVideoFrameCallback(mark);
  image.addEventListener("load", mark, { once: true });
  strip.dispatchEvent(new PointerEvent("pointerdown", at));
  strip.dispatchEvent(new PointerEvent("pointerup", at));
  await Promise.race([full, none]);
  image.removeEventListener("load", mark);
  return { first, whole };
}

/** Runs in the page: a finger goes to and fro over the strip; how many pictures each camera showed. @param {number} ms @param {number} from @param {number} to */
async function scrub(ms, from, to) {
  const strip = /** @type {HTMLElement} */ (document.querySelector(".strips"));
  const box = strip.getBoundingClientRect();
  strip.setPointerCapture = () => {};
  const panes = [...document.querySelectorAll(".pane")];
  const counts = panes.map(() => 0);
  panes.forEach((pane, i) => {
    const leaf = /** @type {HTMLVideoElement} */ (pane.querySelector("video.leaf"));
    const next = () => {
      counts[i] += 1;
      leaf.requestVideoFrameCallback(next);
    };
    leaf.requestVideoFrameCallback(next);
  });
  const send = (/** @type {string} */ name, /** @type {number} */ share) =>
    strip.dispatchEvent(
      new PointerEvent(name, {
        pointerId: 1,
        button: 0,
        clientX: box.left + box.width * share,
        clientY: box.top + 40,
        bubbles: true,
      }),
    );
  send("pointerdown", from);
  await new Promise((ok) => setTimeout(ok, 1500));
  counts.fill(0);
  const start = performance.now();
  let frames = 0;
  while (performance.now() - start < ms) {
    await new Promise((ok) => requestAnimationFrame(ok));
    frames += 1;
    const phase = ((performance.now() - start) / 3000) % 2;
    send("pointermove", from + (to - from) * (phase < 1 ? phase : 2 - phase));
  }
  const seconds = (performance.now() - start) / 1000;
  send("pointerup", to);
  return { updates: counts.map((n) => n / seconds), frames: frames / seconds };
}

const two = [await Camera.start("driveway"), await Camera.start("garden", "garden")];
const recorder = await Recorder.start();
const browser = await launch("chrome");
try {
  const client = await setUp(
    recorder,
    [...two, ...two].map((c, i) => Object.assign(Object.create(c), { name: `${c.name} ${i}` })),
  );
  console.log(`recording four cameras for ${SECONDS} s`);
  await until(
    "recordings",
    async () => {
      const { cameras } = await client.get("/api/");
      return cameras.every(
        (/** @type {any} */ c) => c.streams.main.totalDuration90k + c.streams.main.inProgressDuration90k > SECONDS * 90000,
      );
    },
    SECONDS * 4000,
  );
  const { page } = await open(browser, { width: 1440, height: 900 });
  await signIn(page, client);
  const { cameras, now90k } = await client.get("/api/");
  const all = cameras.map((/** @type {any} */ c) => c.uuid);
  // The strip shows just what was recorded.
  const middle = new Date(now90k / 90 - SECONDS * 500).toISOString();
  const show = async (/** @type {string[]} */ uuids) => {
    await page.goto("about:blank");
    await page.goto(`${recorder.url}/#timeline?cameras=${uuids.join()}&t=${middle}&span=${SECONDS}`);
    await until("the first pictures", () =>
      page.evaluate(
        () =>
          [...document.querySelectorAll(".pane")].every((p) => (p.querySelector("video")?.readyState ?? 0) >= 2) &&
          document.querySelector(".pane") !== null,
      ),
    );
  };
  await show(all.slice(0, 1));
  const told = [];
  for (let i = 0; i < CLICKS; i += 1) {
    // Here and there, each in another place.
    told.push(await page.evaluate(click, 0.06 + 0.86 * ((i * 0.618034) % 1)));
  }
  for (const kind of /** @type {const} */ (["first", "whole"])) {
    const ms = told.map((t) => t[kind]);
    console.log(
      `click to ${kind === "first" ? "a picture    " : "the main frame"}: median ${quantile(ms, 0.5).toFixed(0)} ms, 95 % ${quantile(ms, 0.95).toFixed(0)} ms, most ${Math.max(...ms).toFixed(0)} ms (${ms.length} clicks)`,
    );
  }
  await show(all);
  const { updates, frames } = await page.evaluate(scrub, SCRUB_MS, 0.1, 0.9);
  console.log(
    `scrubbing four cameras: ${updates.map((u) => u.toFixed(1)).join(", ")} pictures a second each, of ${frames.toFixed(1)} display frames`,
  );
} finally {
  await browser.close();
  await recorder.end();
  for (const camera of two) await camera.goAway();
}
