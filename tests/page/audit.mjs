#!/usr/bin/env node
// What Lighthouse says of the page. As a command: of a recorder and cameras of its own, with performance.

import lighthouse from "lighthouse";
import { pathToFileURL } from "node:url";
import { launch } from "./browsers.mjs";
import { Camera, Recorder } from "./recorder.mjs";
import { setUp, signIn } from "./views.mjs";

/** The least that is good enough, by category. */
const LEAST = /** @type {const} */ ({ accessibility: 100, "best-practices": 100, performance: 95 });

/**
 * @param {import("puppeteer-core").Browser} browser
 * @param {string} url
 * @param {import("./views.mjs").Client} client whose session is used
 * @param {string[]} categories
 */
export async function audit(browser, url, client, categories) {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    await signIn(page, client);
    const told = await lighthouse(
      url,
      { onlyCategories: categories, disableStorageReset: true, maxWaitForLoad: 20000, logLevel: "error" },
      undefined,
      page,
    );
    const { lhr } = /** @type {NonNullable<typeof told>} */ (told);
    const scores = Object.fromEntries(
      Object.entries(lhr.categories).map(([name, { score }]) => [name, Math.round(100 * (score ?? 0))]),
    );
    const counted = new Set(
      Object.values(lhr.categories).flatMap((c) => c.auditRefs.filter((r) => r.weight > 0).map((r) => r.id)),
    );
    const failed = Object.values(lhr.audits)
      .filter((a) => counted.has(a.id) && a.score !== null && a.score < 1)
      .map((a) =>
        `${a.id}: ${a.displayValue ?? ""} ${JSON.stringify(/** @type {any} */ (a.details)?.items?.slice(0, 3) ?? "")}`.slice(
          0,
          600,
        ),
      );
    return { scores, failed };
  } finally {
    await context.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const cameras = [await Camera.start("driveway"), await Camera.start("garden", "garden")];
  const recorder = await Recorder.start();
  const browser = await launch("chrome");
  let isGood = true;
  try {
    const client = await setUp(recorder, cameras);
    for (const hash of ["live", "timeline", "cameras", "storage", "system"]) {
      const { scores, failed } = await audit(browser, `${recorder.url}/#${hash}`, client, Object.keys(LEAST));
      const bad = Object.entries(LEAST).filter(([name, least]) => (scores[name] ?? 0) < least);
      console.log(
        hash.padEnd(10),
        Object.entries(scores)
          .map(([name, score]) => `${name} ${score}`)
          .join("  "),
        bad.length ? failed.join("\n  ") : "",
      );
      isGood &&= bad.length === 0;
    }
  } finally {
    await browser.close();
    await recorder.end();
    for (const camera of cameras) await camera.goAway();
  }
  process.exitCode = isGood ? 0 : 1;
}
