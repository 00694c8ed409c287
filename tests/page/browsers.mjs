// The browsers: Debian's Chromium and Firefox ESR, without windows.

import puppeteer from "puppeteer-core";
import { existsSync } from "node:fs";
import { PATIENCE_MS } from "./recorder.mjs";

const PATHS = { chrome: process.env.CHROMIUM ?? "/usr/bin/chromium", firefox: process.env.FIREFOX ?? "/usr/bin/firefox-esr" };

/** @typedef {keyof typeof PATHS} Name */

/**
 * @param {Name} name
 * @param {{args?: string[], downloads?: string}} [options] more arguments, and the folder to save files in
 */
export async function launch(name, { args = [], downloads } = {}) {
  const executablePath = PATHS[name];
  if (!existsSync(executablePath)) throw new Error(`${executablePath} is not there: ./prep.sh test installs it`);
  const own =
    name === "chrome"
      ? [
          "--disable-renderer-backgrounding",
          "--no-sandbox",
          "--disable-gpu",
          "--disable-dev-shm-usage",
          "--autoplay-policy=no-user-gesture-required",
        ]
      : [];
  return puppeteer.launch({
    browser: name,
    executablePath,
    headless: true,
    timeout: 2 * PATIENCE_MS,
    protocolTimeout: 2 * PATIENCE_MS,
    args: [...own, ...args],
    extraPrefsFirefox: {
      "media.autoplay.default": 0,
      "browser.download.folderList": 2,
      "browser.download.dir": downloads ?? "",
      "browser.download.useDownloadDir": true,
      "browser.download.always_ask_before_handling_new_types": false,
      "browser.helperApps.neverAsk.saveToDisk": "video/mp4,image/jpeg",
    },
  });
}

/**
 * A page that remembers what went wrong in it.
 * @param {import("puppeteer-core").Browser} browser
 * @param {{width?: number, height?: number, touch?: boolean, dark?: boolean, downloads?: string}} [options]
 */
export async function open(browser, { width = 1280, height = 800, touch = false, dark = false, downloads } = {}) {
  const isFirefox = (await browser.version()).includes("irefox");
  // Firefox saves files in the folder that it was started with.
  const downloadBehavior =
    downloads && !isFirefox ? { policy: /** @type {const} */ ("allow"), downloadPath: downloads } : undefined;
  const context = isFirefox ? browser.defaultBrowserContext() : await browser.createBrowserContext({ downloadBehavior });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.setViewport({ width, height });
  if (touch || dark) {
    const client = await page.createCDPSession();
    if (touch) {
      await client.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 2, mobile: true });
      await client.send("Emulation.setTouchEmulationEnabled", { enabled: true });
    }
    await client.send("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }],
    });
  }
  /** @type {string[]} */
  const complaints = [];
  // A browser itself tells of each refused request; what the page makes of it is tested elsewhere.
  const isKnown = (/** @type {string} */ text) => /Failed to load resource|WebSocket|can’t establish a connection/.test(text);
  page.on("pageerror", (e) => {
    if (!isKnown(String(e))) complaints.push(String(e));
  });
  page.on("console", (m) => {
    if (m.type() === "error" && !isKnown(m.text())) complaints.push(m.text());
  });
  return { page, context, complaints };
}
