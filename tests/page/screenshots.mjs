#!/usr/bin/env node
// Pictures of each view, on a phone and a desk, dark and light, into tests/out/page: to be looked at. Arguments choose those
// whose names contain one of them; `--guide` makes the few that README.md shows, in guide/.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch, open } from "./browsers.mjs";
import { Camera, Recorder, TOP, until } from "./recorder.mjs";
import { VIEWS, setUp } from "./views.mjs";

const OUT = join(TOP, "tests/out/page");
const SIZES = { phone: { width: 390, height: 844, touch: true }, desk: { width: 1440, height: 900, touch: false } };

/** The pictures of the README: each under 100 kB. */
const GUIDE = new Set(["live-desk-dark", "timeline-desk-dark", "cameras-phone-light"]);
const isGuide = process.argv.includes("--guide");
const only = process.argv.slice(2).filter((a) => !a.startsWith("--"));
mkdirSync(OUT, { recursive: true });
const cameras = [await Camera.start("driveway"), await Camera.start("garden", "garden")];
const recorder = await Recorder.start();
const browser = await launch("chrome");
try {
  const cookies = await setUp(recorder, cameras);
  await until(
    "something to be recorded",
    async () => {
      const state = await cookies.get("/api/");
      return state.cameras.every(
        (/** @type {any} */ c) => c.streams.main.totalDuration90k + c.streams.main.inProgressDuration90k > 40 * 90000,
      );
    },
    120000,
  );
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const dark of [true, false]) {
      const { page, context, complaints } = await open(browser, {
        ...viewport,
        ...(isGuide && size === "desk" ? { width: 1120, height: 700 } : {}),
        dark,
      });
      for (const view of VIEWS) {
        const name = `${view.name}-${size}-${dark ? "dark" : "light"}`;
        if (isGuide && !GUIDE.has(name)) continue;
        if (only.length && !only.some((o) => name.includes(o))) continue;
        await view.open(page, recorder, cookies);
        if (isGuide) {
          await until("all pictures", () =>
            page.evaluate(
              () =>
                [...document.images].every((i) => !i.checkVisibility() || i.naturalWidth > 0) &&
                document.querySelectorAll(".thumb img[hidden]").length === 0,
            ),
          );
          await page.screenshot({ path: join(TOP, `guide/page-${view.name}.jpg`), type: "jpeg", quality: 72 });
        } else {
          await page.screenshot({
            path: /** @type {`${string}.png`} */ (join(OUT, `${name}.png`)),
            fullPage: view.whole ?? false,
          });
        }
        console.log(name, complaints.splice(0).join("; "));
      }
      await context.close();
    }
  }
} finally {
  await browser.close();
  await recorder.end();
  for (const camera of cameras) await camera.goAway();
}
