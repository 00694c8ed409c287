// The forecast of how far back recordings reach, and the addresses of cameras, by themselves.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

/** A file of the page that stands alone: as a module, which its name alone does not tell older versions of Node. @param {string} name */
const load = (name) => {
  const text = readFileSync(new URL(`../../src/ui/${name}`, import.meta.url), "utf8");
  return import(`data:text/javascript,${encodeURIComponent(text)}`);
};
/** @type {typeof import("../../src/ui/forecast.js")} */
const { daysKept } = await load("forecast.js");
/** @type {typeof import("../../src/ui/makes.js")} */
const { addresses, makeOf } = await load("makes.js");

const GB = 1e9;
/** @param {number | null} rate @param {{bytes?: number, days?: number}} [limits] in GB */
const wish = (rate, { bytes, days } = {}) => ({
  bytesPerDay: rate === null ? null : rate * GB,
  retainBytes: bytes === undefined ? null : bytes * GB,
  retainDays: days ?? null,
});

test("streams without limits reach back equally", () => {
  assert.deepEqual(daysKept([wish(10), wish(40)], 500 * GB), [10, 10]);
});

test("what one does not take is there for the others", () => {
  assert.deepEqual(daysKept([wish(10, { days: 5 }), wish(50)], 550 * GB), [5, 10]);
  assert.deepEqual(daysKept([wish(10, { bytes: 20 }), wish(50)], 520 * GB), [2, 10]);
});

test("limits beyond the disk's room are as none", () => {
  assert.deepEqual(daysKept([wish(10, { days: 30 }), wish(40, { days: 60 })], 500 * GB), [10, 10]);
});

test("limits within it hold, and the stricter of two", () => {
  assert.deepEqual(daysKept([wish(10, { days: 3, bytes: 20 }), wish(40, { days: 1 })], 5000 * GB), [2, 1]);
});

test("what is not known is told as that, and takes nothing", () => {
  assert.deepEqual(daysKept([wish(null, { days: 3 }), wish(10)], 100 * GB), [null, 10]);
  assert.deepEqual(daysKept([], 100 * GB), []);
});

test("addresses of well-known makes", () => {
  const foscam = { name: "", main: "/videoMain", sub: "/videoSub", port: 88 };
  assert.equal(addresses(foscam, " 192.0.2.7/ ").main, "rtsp://192.0.2.7:88/videoMain");
  assert.equal(addresses(foscam, "192.0.2.7:8554").sub, "rtsp://192.0.2.7:8554/videoSub");
  assert.equal(addresses(foscam, "[2001:db8::7]").main, "rtsp://[2001:db8::7]:88/videoMain");
  assert.equal(addresses(foscam, "[2001:db8::7]:8554").main, "rtsp://[2001:db8::7]:8554/videoMain");
  assert.equal(makeOf("rtsp://192.0.2.7/Streaming/Channels/101"), "Hikvision, Annke, HiLook");
  assert.equal(makeOf("rtsp://192.0.2.7/main"), "");
});
