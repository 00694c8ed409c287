#!/usr/bin/env node
// The first visit to a blank appliance, by hand as it were: administrator, time zone, an empty disk, a camera, live pictures,
// then its settings and a backup. `node tests/page/board.mjs URL HOST`, where this machine's cameras are to be had at HOST as
// seen from the board. Ends with 0 if all went well. `image/test page` runs it against the image.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch, open } from "./browsers.mjs";
import { clockOf } from "./clock.mjs";
import { CAMERA_PASSWORD, CAMERA_USER, Camera, until } from "./recorder.mjs";
import { ADMINISTRATOR, fill, press, says } from "./views.mjs";

/** How long a step may take: the board may be an emulated one. */
const PATIENCE_MS = 600000;
const ZONE = "Pacific/Auckland";

const [url, host] = process.argv.slice(2);
if (!host) {
  console.error("usage: board.mjs URL HOST");
  process.exit(2);
}
const begin = performance.now();
/** @param {string} text */
const tell = (text) => console.log(`${((performance.now() - begin) / 1000).toFixed(0).padStart(5)} s  ${text}`);

const downloads = mkdtempSync(join(tmpdir(), "moonfire-board-"));
const camera = await Camera.start("driveway");
const browser = await launch("chrome");
try {
  const { page, complaints } = await open(browser, { width: 390, height: 844, touch: true, downloads });
  page.setDefaultTimeout(PATIENCE_MS);
  const heading = (/** @type {string} */ words) => says(page, "h1", words, PATIENCE_MS);

  await page.goto(url);
  await fill(page, "#username", ADMINISTRATOR.username);
  await fill(page, "#password", ADMINISTRATOR.password);
  await fill(page, "#again", ADMINISTRATOR.password);
  await press(page, "Make the administrator");
  await heading("Clock and disk");
  tell("there is an administrator");

  await page.waitForSelector("[name=time-zone]");
  await page.select("[name=time-zone]", ZONE);
  await says(page, ".welcome dd", ZONE, PATIENCE_MS);
  tell("the time zone is set");

  await press(page, /^Use for recordings/, ".welcome", PATIENCE_MS);
  await press(page, "Use for recordings", "dialog");
  await says(page, ".welcome .state", "ready", PATIENCE_MS);
  await says(page, ".welcome", / of .* free/, PATIENCE_MS);
  tell("the disk is ready");
  await press(page, "Go on");

  await fill(page, "[name=name]", camera.name);
  await fill(page, "[name=address]", `${host}:${camera.port}`);
  await fill(page, "[name=camera-user]", CAMERA_USER);
  await fill(page, "[name=camera-password]", CAMERA_PASSWORD);
  await press(page, "Look at the picture");
  const pictures = () =>
    page.evaluate(() => {
      const all = /** @type {HTMLImageElement[]} */ ([...document.querySelectorAll(".look img")]);
      return all.length > 0 && all.every((p) => p.naturalWidth > 0);
    });
  await until("the camera's pictures", pictures, PATIENCE_MS);
  tell("the camera shows its picture");
  await press(page, "Save and record");
  await says(page, ".made .state", "recording", PATIENCE_MS);
  tell("the camera is recorded");
  await press(page, "Go on");
  await heading("How much to keep");
  await press(page, "Start watching");
  let age = Infinity;
  const isPlaying = async () => {
    const told = await clockOf(page, ".tile video");
    age = told ? told.now - told.shown : Infinity;
    return age < 3000;
  };
  await until("a live picture", isPlaying, PATIENCE_MS);
  tell(`the live picture is ${age} ms old, by this machine's clock`);

  await page.goto(`${url}/#system`);
  await press(page, "Settings", "main", PATIENCE_MS);
  await fill(page, "dialog [name=hostname], dialog input[maxlength='63']", "shed");
  await press(page, "Save", "dialog");
  await says(page, "dialog .well", "in force", PATIENCE_MS);
  await page.keyboard.press("Escape");
  await says(page, "h2", "shed", PATIENCE_MS);
  tell("the board has another name");

  await press(page, "Make a backup", "main", PATIENCE_MS);
  await fill(page, "dialog [type=password]", "a long passphrase");
  await press(page, "Make a backup", "dialog");
  const file = await until("the backup", () => readdirSync(downloads).find((f) => !f.endsWith(".crdownload")), PATIENCE_MS);
  const backup = readFileSync(join(downloads, file));
  assert(backup.length > 500, `the backup has ${backup.length} bytes`);
  assert(!backup.includes(CAMERA_PASSWORD), "a password stands in the backup as it is");
  tell(`the backup ${file} has ${backup.length} bytes`);
  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
  await camera.goAway();
  rmSync(downloads, { recursive: true, force: true });
}
process.exit(0);
