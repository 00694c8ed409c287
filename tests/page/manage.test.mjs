// What is set up and undone in the page, against a recorder that does it: cameras that are found on the network, recorded, and
// removed, with and without their recordings; and a recorder of another version under the open page.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, open } from "./browsers.mjs";
import { CAMERA_PASSWORD, Camera, Recorder, until } from "./recorder.mjs";
import { administrator, press, signIn } from "./views.mjs";

/** A network of this test's own, within that of the loopback interface. */
const NETWORK = `127.${1 + (process.pid % 250)}.${1 + (Math.floor(process.pid / 250) % 250)}`;

/** @type {Camera[]} */
let cameras = [];
/** @type {Recorder} */
let recorder;
/** @type {import("puppeteer-core").Browser} */
let browser;
/** @type {import("./views.mjs").Client} */
let client;

before(async () => {
  cameras = [
    await Camera.startFindable("driveway", "driveway", `${NETWORK}.2`),
    await Camera.startFindable("garden", "garden", `${NETWORK}.3`),
  ];
  recorder = await Recorder.start({ extra: '[onboard]\ninterfaces = ["lo"]\n' });
  browser = await launch("chrome");
  client = await administrator(recorder);
});

after(async () => {
  await browser?.close();
  await recorder?.end();
  for (const camera of cameras) await camera.goAway();
});

/** What the recorder says of a camera. @param {string} name */
const told = async (name) => (await client.get("/api/")).cameras.find((/** @type {any} */ c) => c.shortName === name);

const sampleFiles = () => readdirSync(join(recorder.folder, "sample"), { recursive: true }).length;

test("cameras are found, tried, and recorded together", { timeout: 300000 }, async (t) => {
  const { page, context, complaints } = await open(browser);
  t.after(() => context.close());
  await signIn(page, client);
  await page.goto(`${recorder.url}/#welcome?step=cameras`);
  await until("both to be found", () =>
    page.evaluate(
      (network) => [...document.querySelectorAll(".found")].filter((e) => e.textContent?.includes(network)).length === 2,
      NETWORK,
    ),
  );
  // Others that this machine happens to have are left alone.
  await page.evaluate((network) => {
    for (const row of document.querySelectorAll(".found")) {
      const box = /** @type {HTMLInputElement} */ (row.querySelector("input[type=checkbox]"));
      if (!row.textContent?.includes(network) && box.checked) box.click();
    }
  }, NETWORK);
  await page.type("[name=found-password]", CAMERA_PASSWORD);
  await press(page, "Try on these");
  await until("pictures of both", () =>
    page.evaluate(
      () =>
        [...document.querySelectorAll(".found img")].filter((i) => /** @type {HTMLImageElement} */ (i).naturalWidth > 0)
          .length === 2,
    ),
  );
  await press(page, /^Record all/);
  await until("both to be recorded", () =>
    page.evaluate(
      () => [...document.querySelectorAll(".made .state")].map((e) => e.textContent).join() === "recording,recording",
    ),
  );
  const names = (await client.get("/api/")).cameras.map((/** @type {any} */ c) => c.shortName).sort();
  assert.deepEqual(names, ["driveway", "garden"]);
  for (const name of names) {
    await until(`${name} to be recorded`, async () => {
      const { main, sub } = (await told(name)).streams;
      return [main, sub].every((s) => s.recording && s.totalSampleFileBytes + s.inProgressBytes > 0);
    });
  }
  assert.deepEqual(complaints, []);
});

test("cameras are removed, with their recordings and without", { timeout: 300000 }, async (t) => {
  const { page, context, complaints } = await open(browser);
  t.after(() => context.close());
  await signIn(page, client);
  await page.goto(`${recorder.url}/#cameras`);
  await press(page, "Remove driveway");
  // Who thinks better of it loses nothing.
  await press(page, "Cancel", "dialog");
  await until("the question to go", async () => (await page.$("dialog")) === null);
  assert.equal((await told("driveway")).removed, false);

  const all = sampleFiles();
  await press(page, "Remove driveway");
  await press(page, "Remove", "dialog");
  await until("it to be removed", async () => (await told("driveway"))?.removed);
  assert(sampleFiles() >= all, "its recordings are there");
  // They are told of even while the newest of them wait for the next commit.
  assert((await told("driveway")).streams.main, "its stream is there");
  await until("that to be told", () =>
    page.evaluate(() =>
      [...document.querySelectorAll(".camera-card")].some(
        (e) => /driveway/.test(e.textContent ?? "") && /removed/.test(e.querySelector(".state")?.textContent ?? ""),
      ),
    ),
  );

  const before = sampleFiles();
  await press(page, "Remove garden");
  const remove = await page.waitForSelector("dialog input[value=delete]");
  await remove?.click();
  await press(page, "Remove", "dialog");
  await until("it and its recordings to be gone", async () => {
    const camera = await told("garden");
    const bytes = Object.values(camera?.streams ?? {}).reduce((sum, /** @type {any} */ s) => sum + s.totalSampleFileBytes, 0);
    return bytes === 0 && sampleFiles() < before;
  });
  assert(sampleFiles() > 0, "the other's are still there");
  assert.deepEqual(complaints, []);
});

test("a recorder of another version brings its page", { timeout: 120000 }, async (t) => {
  const { page, context } = await open(browser);
  t.after(() => context.close());
  await signIn(page, client);
  await page.goto(`${recorder.url}/#users`);
  await page.waitForSelector(".me button");
  await page.evaluate(() => Object.assign(window, { isTheSame: true }));
  // As after an update: the next answers are another version's.
  let asked = 0;
  await page.setRequestInterception(true);
  page.on("request", async (request) => {
    if (new URL(request.url()).pathname !== "/api/") return request.continue();
    const state = await client.get("/api/");
    asked += 1;
    await request.respond({ contentType: "application/json", body: JSON.stringify({ ...state, serverVersion: "another" }) });
  });
  await until("the page to hear of it", () => asked > 0);
  assert(await page.evaluate(() => /** @type {any} */ (window).isTheSame), "what is being looked at stays");
  await press(page, "Storage");
  await until("the page to be loaded anew", () =>
    page
      .evaluate(() => !(/** @type {any} */ (window).isTheSame) && document.querySelector("h1")?.textContent === "Storage")
      .catch(() => false),
  );
});
