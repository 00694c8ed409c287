// The cameras and how each of their streams fares.

import { h } from "/ui/dom.js";
import { facts, stateWord } from "/ui/facts.js";
import { bytes, duration } from "/ui/format.js";
import { empty } from "/ui/live.js";
import { now90k, recorder, watch } from "/ui/state.js";
import { S } from "/ui/strings.js";
import { dateTime } from "/ui/time.js";

/** @typedef {import("/ui/state.js").Stream} Stream */

/** @param {Stream} stream */
function retention(stream) {
  const limits = [];
  if (stream.retainBytes !== null) limits.push(bytes(stream.retainBytes));
  if (stream.retainDays !== null) limits.push(S.cameras.days(stream.retainDays));
  return limits.length ? limits.join(", ") : S.cameras.room;
}

/** @param {string} name @param {Stream} stream */
function streamView(name, stream) {
  const word = stream.recording
    ? stateWord(S.cameras.recording, "good")
    : stream.record ? stateWord(S.cameras.notRecording, "bad") : stateWord(S.cameras.off, "calm");
  const gap = !stream.recording && stream.record && stream.gap;
  return h(
    "div",
    { class: "part" },
    h("div", { class: "card-head" }, h("span", { class: "part-name" }, name), word),
    gap && h("p", { class: "reason" }, S.cameras.reason(duration(now90k() - gap.startTime90k), gap.detail)),
    facts([
      [S.cameras.video, stream.video],
      [S.cameras.kept, `${bytes(stream.totalSampleFileBytes + stream.inProgressBytes)}, ${duration(stream.totalDuration90k + stream.inProgressDuration90k)}`],
      [S.cameras.since, stream.minStartTime90k === null ? null : dateTime(stream.minStartTime90k)],
      [S.cameras.toKeep, retention(stream)],
      [S.cameras.lost, stream.lostPackets || null],
    ]),
  );
}

/** @param {HTMLElement} root */
export function show(root) {
  const cards = h("div", { class: "cards" });
  const nothing = h("div", { class: "empty" });
  root.append(h("div", { class: "page-head" }, h("h1", {}, S.cameras.title)), nothing, cards);
  return watch(() => {
    const cameras = recorder.state?.cameras ?? [];
    nothing.replaceChildren(...(cameras.length ? [] : empty().filter((c) => c instanceof Node)));
    nothing.hidden = cameras.length > 0;
    cards.replaceChildren(
      ...cameras.map((camera) =>
        h(
          "article",
          { class: "card" },
          h("div", { class: "card-head" }, h("h2", {}, camera.shortName), camera.removed && stateWord(S.cameras.removed, "calm")),
          camera.description && h("p", { class: "hint" }, camera.description),
          Object.entries(camera.streams).sort().map(([name, stream]) => streamView(name, /** @type {Stream} */ (stream))),
        ),
      ),
    );
  });
}
