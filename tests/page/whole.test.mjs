// The whole way of somebody new, in both browsers, against a recorder and cameras that draw the time into their pictures:
// first visit, recording, live, time line, export, a camera that goes away, a restart, signing out.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { launch, open } from "./browsers.mjs";
import { DIGITS, clockOf, readClock } from "./clock.mjs";
import { CAMERA_PASSWORD, CAMERA_USER, Camera, Recorder, until } from "./recorder.mjs";
import { ADMINISTRATOR, fill, press, says, textOf } from "./views.mjs";

/** How far a picture's own clock may be from what the page says, in milliseconds: the camera's way to the recorder is in it. */
const NEAR_MS = 1000;

/** @typedef {import("puppeteer-core").Page} Page */

/** @param {Page} page */
const momentOf = (page) => page.evaluate(() => Date.parse(new URLSearchParams(location.hash.split("?")[1]).get("t") ?? ""));

/**
 * Follows a link within the page, until the page has heard of it.
 * @param {Page} page @param {string} hash
 */
const follow = (page, hash) =>
  page.evaluate(
    (hash) =>
      new Promise((ok) => {
        // The page listens for longer, so it is told first.
        addEventListener("hashchange", () => ok(null), { once: true });
        location.hash = hash;
      }),
    hash,
  );

/** Waits until the live pictures are less than a second old, by the clock that is in them. @param {Page} page @param {number} tiles */
async function playsLive(page, tiles) {
  for (let i = 1; i <= tiles; i += 1) {
    let age = Infinity;
    await until(`live picture ${i} that is less than a second old`, async () => {
      const told = await clockOf(page, `.tile:nth-child(${i}) video`);
      age = told ? told.now - told.shown : Infinity;
      return age < 1000;
    }).catch((e) => {
      throw new Error(`${e.message}; it is ${age} ms old`);
    });
  }
}

/** A frame of a file, as light. @param {string} file @param {number} at in seconds */
function frame(file, at) {
  const [width, height] = execFileSync("ffprobe", [
    "-v",
    "error",
    "-select_streams",
    "v",
    "-show_entries",
    "stream=width,height",
    "-of",
    "csv=p=0",
    file,
  ])
    .toString()
    .trim()
    .split(",")
    .map(Number);
  const raw = execFileSync(
    "ffmpeg",
    ["-v", "error", "-i", file, "-ss", String(at), "-frames:v", "1", "-pix_fmt", "gray", "-f", "rawvideo", "-"],
    { maxBuffer: 1e8 },
  );
  assert.equal(raw.length, width * height);
  return readClock(width, height, (x, y) => raw[y * width + x], DIGITS);
}

for (const name of /** @type {const} */ (["chrome", "firefox"])) {
  test(`${name}: from the first visit to signing out`, { timeout: 600000 }, async (t) => {
    const downloads = mkdtempSync(join(tmpdir(), "moonfire-page-files-"));
    const cameras = [await Camera.start("driveway"), await Camera.start("garden", "garden")];
    const recorder = await Recorder.start();
    /** @type {import("puppeteer-core").Browser | null} */
    let browser = null;
    t.after(async () => {
      await browser?.close();
      await recorder.end();
      for (const camera of cameras) await camera.goAway();
      rmSync(downloads, { recursive: true, force: true });
    });
    browser = await launch(name, { downloads });
    const { page, complaints } = await open(browser, { downloads });

    await t.test("the administrator", async () => {
      await page.goto(recorder.url);
      await fill(page, "#username", ADMINISTRATOR.username);
      await fill(page, "#password", ADMINISTRATOR.password);
      await fill(page, "#again", "something else");
      await press(page, "Make the administrator");
      await says(page, ".trouble", "The two passwords differ.");
      await fill(page, "#again", ADMINISTRATOR.password);
      await press(page, "Make the administrator");
      await says(page, "h1", "Clock and disk");
      await says(page, ".welcome", "Europe/Zurich");
      // It goes on in the same page until the end.
      await page.evaluate(() => Object.assign(window, { isTheSame: true }));
      await press(page, "Go on");
    });

    await t.test("a camera whose address alone is known", async () => {
      await fill(page, "[name=name]", cameras[0].name);
      await fill(page, "[name=address]", cameras[0].address);
      await fill(page, "[name=camera-user]", CAMERA_USER);
      await fill(page, "[name=camera-password]", "wrong");
      await press(page, "Look at the picture");
      await says(page, ".look", "It was tried once only");
      await fill(page, "[name=camera-password]", CAMERA_PASSWORD);
      await press(page, "Look again");
      await until("the camera's pictures", () =>
        page.evaluate(() => {
          const pictures = /** @type {HTMLImageElement[]} */ ([...document.querySelectorAll(".look img")]);
          return pictures.length === 2 && pictures.every((p) => p.naturalWidth > 0);
        }),
      );
      await press(page, "Save and record");
      await says(page, ".made", "driveway");
    });

    await t.test("a camera whose streams are known", async () => {
      await fill(page, "[name=name]", cameras[1].name);
      await fill(page, "[name=address]", cameras[1].url("main"));
      await fill(page, "[name=sub]", cameras[1].url("sub"));
      // User and password are those of the one before.
      await press(page, "Look at the picture");
      await until("the camera's pictures", () => page.evaluate(() => document.querySelectorAll(".look img").length === 2));
      await press(page, "Save and record");
      await says(page, ".made", "garden");
      await until("both to be recorded", async () => (await textOf(page, ".made .state")) === "recording recording");
      await press(page, "Go on");
    });

    await t.test("how much to keep, with a forecast", async () => {
      await says(page, "h1", "How much to keep");
      await says(page, ".forecast", /Recordings will reach about|There is room for about/);
      await fill(page, "[type=number]", "7");
      await says(page, ".forecast", /reach about 7\.0 days back|There is room for about/);
      await press(page, "Start watching");
    });

    await t.test("live, less than a second behind", async () => {
      await page.waitForSelector(".tile");
      await playsLive(page, 2);
      await press(page, /^driveway: enlarge/);
      await until(
        "the main stream of one",
        async () => (await page.evaluate(() => document.querySelector("video")?.videoWidth)) === 1280,
      );
      await playsLive(page, 1);
      await page.keyboard.press("Escape");
      await playsLive(page, 2);
    });

    await t.test("the time line follows the hand", async () => {
      const { cameras: told, now90k } = await page.evaluate(() => fetch("/api/").then((r) => r.json()));
      const all = told.map((/** @type {any} */ c) => c.uuid).join();
      const at = new Date(now90k / 90 - 8000).toISOString();
      await follow(page, `#timeline?cameras=${all}&t=${at}&span=60`);
      await page.waitForSelector(".pane:nth-child(2)");
      for (const i of [1, 2]) {
        let off = NaN;
        await until(`the picture of the moment in the address, ${i}`, async () => {
          const shown = await clockOf(page, `.pane:nth-child(${i}) video:not(.leaf)`);
          off = shown ? shown.shown - Date.parse(at) : NaN;
          return Math.abs(off) < NEAR_MS;
        }).catch((e) => {
          throw new Error(`${e.message}; it is ${off} ms off`);
        });
      }
      const strip = await (await page.$(".strips canvas"))?.boundingBox();
      assert(strip);
      const y = strip.y + strip.height / 2;
      await page.mouse.move(strip.x + strip.width * 0.48, y);
      await page.mouse.down();
      await until("pictures to follow", async () => {
        await page.mouse.move(strip.x + strip.width * (0.42 + 0.05 * Math.random()), y);
        return page.evaluate(() => [...document.querySelectorAll(".leaf")].some((e) => !(/** @type {HTMLElement} */ (e).hidden)));
      });
      await page.mouse.move(strip.x + strip.width * 0.45, y);
      await page.mouse.up();
      await until("the picture where it was dropped", async () => {
        const moment = await momentOf(page);
        const shown = await clockOf(page, ".pane video:not(.leaf)");
        return Math.abs(moment - Date.parse(at)) > 500 && shown && Math.abs(shown.shown - moment) < NEAR_MS;
      });
      const before = await momentOf(page);
      await page.keyboard.press(" ");
      await until("it to play", async () => (await momentOf(page)) > before + 1500);
      await page.keyboard.press(" ");
    });

    await t.test("the calendar has the minute that is being recorded", async () => {
      await press(page, "Calendar");
      await page.waitForSelector("dialog .month .has[aria-current=date]");
      await page.keyboard.press("Escape");
      await until("the calendar to close", () => page.evaluate(() => !document.querySelector("dialog")));
    });

    await t.test("an exported file has what was marked", async () => {
      const { now90k } = await page.evaluate(() => fetch("/api/").then((r) => r.json()));
      const start = Math.round(now90k / 90) - 12000;
      const [uuid] = await page.evaluate(() => [new URLSearchParams(location.hash.split("?")[1]).get("cameras")?.split(",")[0]]);
      for (const [key, ms] of /** @type {const} */ ([
        ["i", start],
        ["o", start + 5000],
      ])) {
        await follow(page, `#timeline?cameras=${uuid}&t=${new Date(ms).toISOString()}&span=60`);
        await until("that moment", async () => (await momentOf(page)) === ms);
        await page.keyboard.press(key);
      }
      await page.keyboard.press("e");
      await says(page, "dialog [role=status]", "1 file");
      await page.click("dialog > .check input");
      await says(page, "dialog [role=status]", "1 file");
      await press(page, "Download");
      await says(page, ".download", "Saved");
      const file = await until("the file", () => {
        const files = readdirSync(downloads).filter((f) => f.endsWith(".mp4"));
        return files.length === 1 && statSync(join(downloads, files[0])).size > 0 && join(downloads, files[0]);
      });
      execFileSync("ffmpeg", ["-v", "error", "-xerror", "-i", file, "-f", "null", "-"]);
      const duration = Number(
        execFileSync("ffprobe", ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file]).toString(),
      );
      assert(Math.abs(duration - 5) < 0.2, `${duration} s`);
      for (const s of [0, 2.5, 4]) {
        const shown = frame(file, s);
        assert(shown !== null, `no clock in the picture at ${s} s`);
        assert(Math.abs(shown - (start + 1000 * s)) < NEAR_MS, `the picture at ${s} s is ${shown - start - 1000 * s} ms off`);
      }
    });

    await t.test("a camera goes away and comes back", async () => {
      await follow(page, "#live");
      await playsLive(page, 2);
      await cameras[0].goAway();
      await says(page, ".tile.away", /Camera away since .* Nothing is recorded meanwhile/);
      await cameras[0].comeBack();
      await until("nothing to be away", async () => (await page.$(".tile.away")) === null);
      await playsLive(page, 2);
    });

    await t.test("the recorder is started anew under the open page", async () => {
      await recorder.pause();
      await says(page, ".banner", "The recorder does not answer.");
      await recorder.goOn();
      await until("the banner to go", () => page.evaluate(() => document.querySelector(".banner")?.checkVisibility() === false));
      await playsLive(page, 2);
      assert(await page.evaluate(() => /** @type {any} */ (window).isTheSame), "the page was loaded anew");
    });

    await t.test("signing out", async () => {
      await follow(page, "#users");
      await page.waitForSelector(".me button");
      await press(page, "Sign out");
      await page.waitForSelector("#username");
      assert.equal(await page.evaluate(() => fetch("/api/").then((r) => r.status)), 401);
    });
    assert.deepEqual(complaints, []);
    assert.equal(readFileSync(recorder.config, "utf8").includes(CAMERA_PASSWORD), false);
  });
}
