// What a look at a camera showed.

import { h } from "/ui/dom.js";
import { facts, stateWord } from "/ui/facts.js";
import { bitRate, duration } from "/ui/format.js";
import { S } from "/ui/strings-manage.js";
import { MINUTE } from "/ui/time.js";

/**
 * @typedef {{ok: boolean, codec?: string, width?: number, height?: number, frameRate?: number | null,
 *   bitRate?: number | null, keyFrameInterval90k?: number | null, transport?: string, clockOffset90k?: number | null,
 *   lostPackets?: number, picture?: string | null, pictureError?: string | null,
 *   error?: {kind: string, message: string}}} Tested
 */

/** A camera's clock may be this far off before it is told. */
const CLOCK_OFF = MINUTE;

/** What a camera's settings will cost. @typedef {{kind: string, stream: string | null, message: string}} Advice */

/** @param {"main" | "sub"} kind @param {Tested} told @param {Advice[]} [advice] */
export function picture(kind, told, advice) {
  const x = S.camera;
  const name = kind === "main" ? x.mainStream : x.subStream;
  if (!told.ok) {
    return h(
      "figure",
      { class: "look" },
      h(
        "figcaption",
        {},
        h("div", { class: "card-head" }, h("strong", {}, name), stateWord(x.noPicture, "bad")),
        h("p", { class: "reason" }, S.sentence(told.error?.message ?? "")),
        h("p", { class: "hint" }, x.errors[told.error?.kind ?? "camera"] ?? ""),
      ),
    );
  }
  const off = told.clockOffset90k ?? 0;
  return h(
    "figure",
    { class: "look" },
    told.picture
      ? h("img", { src: told.picture, alt: x.pictureOf(name) })
      : h("p", { class: "hint" }, x.noPreview(told.pictureError ?? "")),
    h(
      "figcaption",
      {},
      h("div", { class: "card-head" }, h("strong", {}, name), stateWord(x.good, "good")),
      facts([
        [x.size, `${told.width} × ${told.height}`],
        [x.frameRate, told.frameRate ? x.perSecond(told.frameRate.toFixed(told.frameRate < 10 ? 1 : 0)) : null],
        [x.bitRate, told.bitRate ? bitRate(told.bitRate) : null],
        [x.keyFrames, told.keyFrameInterval90k ? x.every(duration(told.keyFrameInterval90k)) : null],
        [x.lost, told.lostPackets || null],
      ]),
      (advice ?? []).filter((a) => (a.stream ?? "main") === kind).map((a) => h("p", { class: "hint" }, S.sentence(a.message))),
      !advice && Math.abs(off) > CLOCK_OFF && h("p", { class: "hint" }, x.clockOff(duration(Math.abs(off)), off > 0)),
    ),
  );
}
