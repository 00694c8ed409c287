// Each view: for everybody (axe-core and Lighthouse find nothing), without complaints of the browser, on a phone as well.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { audit } from "./audit.mjs";
import { launch, open } from "./browsers.mjs";
import { clockOf } from "./clock.mjs";
import { pretend } from "./machine.mjs";
import { Camera, Recorder, until } from "./recorder.mjs";
import { VIEWS, fill, press, says, setUp, signIn } from "./views.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What a finger can hit, in pixels (WCAG 2.2, success criterion 2.5.8). */
const TARGET = 24;

/** @type {Camera[]} */
let cameras = [];
/** @type {Recorder} */
let recorder;
/** @type {import("puppeteer-core").Browser} */
let browser;
/** @type {import("./views.mjs").Client} */
let client;

before(async () => {
  cameras = [await Camera.start("driveway"), await Camera.start("garden", "garden")];
  recorder = await Recorder.start();
  browser = await launch("chrome");
  client = await setUp(recorder, cameras);
  await until("something to be recorded", async () => {
    const state = await client.get("/api/");
    return state.cameras.every(
      (/** @type {any} */ c) => c.streams.main.totalDuration90k + c.streams.main.inProgressDuration90k > 20 * 90000,
    );
  });
});

after(async () => {
  await browser?.close();
  await recorder?.end();
  for (const camera of cameras) await camera.goAway();
});

for (const [size, viewport] of Object.entries({
  phone: { width: 390, height: 844, touch: true },
  desk: { width: 1440, height: 900 },
})) {
  // Both sizes and both looks, each once: they do not depend on each other.
  for (const dark of [size === "phone"]) {
    test(`each view on a ${size}, ${dark ? "dark" : "light"}`, { timeout: 600000 }, async (t) => {
      const { page, context, complaints } = await open(browser, { ...viewport, dark });
      t.after(() => context.close());
      for (const view of VIEWS) {
        await t.test(view.name, async () => {
          await view.open(page, recorder, client);
          await page.evaluate(AXE);
          const { violations } = /** @type {any} */ (await page.evaluate("axe.run(document, { resultTypes: ['violations'] })"));
          const told = violations.map(
            (/** @type {any} */ v) =>
              `${v.id}: ${v.nodes.map((/** @type {any} */ n) => `${n.target} ${n.any[0]?.message ?? ""}`).join("; ")}`,
          );
          assert.deepEqual(told, []);
          const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          assert(wide <= 0, `it is ${wide} pixels wider than the window`);
          const small = await page.evaluate((least) => {
            const all = [...document.querySelectorAll("main button, main a.plain, nav a, dialog button, select, input")].filter(
              (e) => e.checkVisibility(),
            );
            const box = (/** @type {Element} */ e) => (e.closest("label.check") ?? e).getBoundingClientRect();
            return all
              .filter((e) => box(e).width > 1 && (box(e).width < least || box(e).height < least))
              .map((e) => e.outerHTML.slice(0, 120));
          }, TARGET);
          assert.deepEqual(small, []);
          assert.deepEqual(complaints.splice(0), []);
        });
      }
    });
  }
}

test("Lighthouse finds nothing to better for access and good practice", { timeout: 600000 }, async (t) => {
  for (const hash of ["live", "cameras", "system"]) {
    await t.test(hash, async () => {
      const { scores, failed } = await audit(browser, `${recorder.url}/#${hash}`, client, ["accessibility", "best-practices"]);
      assert.deepEqual(failed, []);
      assert.deepEqual(scores, { accessibility: 100, "best-practices": 100 });
    });
  }
});

test("an appliance's disk is taken into use, and its time zone set", { timeout: 300000 }, async (t) => {
  const { page, context } = await open(browser);
  t.after(() => context.close());
  await signIn(page, client);
  const { asked } = await pretend(page);
  await page.goto(`${recorder.url}/#welcome`);
  await page.waitForSelector("h3");
  await page.select("[name=time-zone]", "America/New_York");
  await until("the zone to be asked for", () => asked.length === 1);
  assert.deepEqual({ ...asked[0].body, csrf: "" }, { csrf: "", settings: { timeZone: "America/New_York" } });
  await press(page, "Use for recordings: WD Elements");
  await page.waitForSelector("dialog[open]");
  // What would delete something must be ticked first.
  await page.click("dialog .danger");
  assert.equal(asked.length, 1);
  await page.click("dialog input[type=checkbox]");
  await page.click("dialog .danger");
  await until("the disk to be asked for", () => asked.length === 2);
  assert.deepEqual({ ...asked[1].body, csrf: "" }, { csrf: "", action: "format", disk: "sda", confirm: "WD Elements 575834" });
  await page.waitForFunction(() => document.querySelector(".well")?.textContent === "WD Elements is ready for recordings.");
});

test("settings that are saved say so, and leave one way to go on", { timeout: 300000 }, async (t) => {
  const { page, context } = await open(browser);
  t.after(() => context.close());
  await signIn(page, client);
  const { asked } = await pretend(page);
  await page.goto(`${recorder.url}/#system`);
  await press(page, "Settings", "main");
  await fill(page, "dialog input[maxlength='63']", "shed");
  await press(page, "Save", "dialog");
  await says(page, "dialog .well", "The clock is set anew.");
  // Only what was changed.
  assert.deepEqual({ ...asked[0].body, csrf: "" }, { csrf: "", settings: { hostname: "shed" } });
  const shown = await page.$$eval("dialog .form-end button", (all) =>
    all.filter((b) => b.checkVisibility()).map((b) => b.textContent),
  );
  assert.deepEqual(shown, ["Close"]);
  await press(page, "Close", "dialog .form-end");
  await until("the dialog to close", () => page.evaluate(() => !document.querySelector("dialog")));
});

test("what is found on the network is tried and recorded", { timeout: 300000 }, async (t) => {
  const { page, context } = await open(browser);
  t.after(() => context.close());
  await signIn(page, client);
  const { asked } = await pretend(page);
  await page.goto(`${recorder.url}/#welcome?step=cameras`);
  await page.waitForSelector(".found:nth-child(2)");
  await page.type("[name=found-password]", "a secret");
  await press(page, "Try on these");
  await until("it to be tried", () => asked.length === 1);
  assert.deepEqual({ ...asked[0].body, csrf: "" }, { csrf: "", username: "admin", password: "a secret", devices: [2] });
  // The name is one's own to give.
  await page.evaluate(() => {
    const name = /** @type {HTMLInputElement} */ (document.querySelector(".found input[maxlength]"));
    name.value = "porch";
  });
  await press(page, "Record it");
  await until("it to be recorded", () => asked.length === 2);
  assert.deepEqual({ ...asked[1].body, csrf: "" }, { csrf: "", devices: [{ id: 1, shortName: "porch" }] });
});

test("by keyboard alone", { timeout: 300000 }, async (t) => {
  const { page, context } = await open(browser);
  t.after(() => context.close());
  await signIn(page, client);
  await page.goto(`${recorder.url}/#cameras`);
  await page.waitForSelector(".camera-card");
  const focused = () =>
    page.evaluate(() => (document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "").trim());
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to the content");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Add a camera");
  await page.keyboard.press("Enter");
  await page.waitForSelector("dialog[open]");
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("name")), "name");
  await page.keyboard.press("Escape");
  await until("the dialog to go", async () => (await page.$("dialog")) === null);
  assert.equal(await focused(), "Add a camera");

  // The grid is arranged, which this browser remembers.
  await page.evaluate(() => (location.hash = "#live"));
  await page.waitForSelector(".tile:nth-child(2)");
  const order = () => page.evaluate(() => [...document.querySelectorAll(".tile-name")].map((e) => e.textContent));
  assert.deepEqual(await order(), ["driveway", "garden"]);
  await page.focus(".tile-open");
  await page.keyboard.down("Shift");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.up("Shift");
  assert.deepEqual(await order(), ["garden", "driveway"]);
  await page.reload();
  await page.waitForSelector(".tile:nth-child(2)");
  assert.deepEqual(await order(), ["garden", "driveway"]);

  // The time line is a slider.
  await page.evaluate(() => (location.hash = "#timeline"));
  await page.waitForSelector(".strips");
  await page.focus(".strips");
  const told = () => page.$eval(".strips", (e) => e.getAttribute("aria-valuetext"));
  const was = await told();
  await page.keyboard.press("PageUp");
  await until("another time to be told", async () => (await told()) !== was);
});

test("on a phone, by finger", { timeout: 300000 }, async (t) => {
  const { page, context } = await open(browser, { width: 390, height: 844, touch: true });
  t.after(() => context.close());
  await signIn(page, client);
  await page.goto(`${recorder.url}/#live`);
  const tile = await page.waitForSelector(".tile:nth-child(2) .tile-open");
  await tile?.tap();
  await until("the main stream of the one that was tapped", () =>
    page.evaluate(
      () =>
        [...document.querySelectorAll("video")]
          .filter((v) => v.checkVisibility())
          .map((v) => v.videoWidth)
          .join() === "1280",
    ),
  );
  const tab = await page.waitForSelector('nav a[href="#timeline"]');
  await tab?.tap();
  await page.waitForSelector(".pane");
  const { now90k } = await client.get("/api/");
  await page.evaluate((hash) => (location.hash = hash), `#timeline?t=${new Date(now90k / 90 - 10000).toISOString()}&span=240`);
  const strip = await (await page.waitForSelector(".strips canvas"))?.boundingBox();
  assert(strip);
  const y = strip.y + strip.height / 2;
  const span = () => page.evaluate(() => Number(new URLSearchParams(location.hash.split("?")[1]).get("span")));
  await until("the address", span);
  // Two fingers that part show less of time, larger.
  const before = await span();
  const touches = await page.createCDPSession();
  const fingers = (/** @type {number} */ half) => [
    { id: 1, x: strip.x + strip.width / 2 - half, y },
    { id: 2, x: strip.x + strip.width / 2 + half, y },
  ];
  await touches.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: fingers(20) });
  for (const half of [40, 60, 80, 100]) {
    await touches.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints: fingers(half) });
  }
  await touches.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  await until("less to be shown", async () => (await span()) < before / 2);
  // One finger leafs through.
  const now = await page.$eval(".strips", (e) => Number(e.getAttribute("aria-valuenow")));
  const x = (/** @type {number} */ share) => strip.x + strip.width * share;
  await touches.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [{ id: 1, x: x(now / 1000), y }] });
  for (const share of [-0.02, -0.04, -0.06]) {
    await touches.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints: [{ id: 1, x: x(now / 1000 + share), y }] });
  }
  await until("a picture under the finger", async () => (await clockOf(page, ".leaf:not([hidden])")) !== null);
  await touches.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
});
