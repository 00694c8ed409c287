// A table of what was recorded, with links to files: for those who like it plain.

import { streamPath, url } from "/ui/api.js";
import { tableFrame } from "/ui/facts.js";
import { h, icon, say } from "/ui/dom.js";
import { check, field, trouble } from "/ui/form.js";
import { bitRate, bytes, duration } from "/ui/format.js";
import { list } from "/ui/recorded.js";
import { now90k, recorder } from "/ui/state.js";
import { S } from "/ui/strings-manage.js";
import { DAY, HOUR, MINUTE, TICKS_PER_SECOND, clock, dateTime, inputValue, iso, isoDate, parse, startOfDay } from "/ui/time.js";

/** Rows are about this long, or as long as recordings follow each other. */
const SPLITS = /** @type {const} */ ([MINUTE, 10 * MINUTE, HOUR, 4 * HOUR]);
/** More are not shown at once. */
const MOST = 1000;
const PAUSE_MS = 300;

/** @typedef {import("/ui/recorded.js").Row} Row */

/** @param {HTMLElement} root @param {URLSearchParams} parameters */
export function show(root, parameters) {
  const x = S.segments;
  const cameras = (recorder.state?.cameras ?? []).filter((c) => Object.keys(c.streams).length);
  const wanted = cameras.find((c) => c.uuid === parameters.get("camera")) ?? cameras[0];
  const camera = h(
    "select",
    {},
    cameras.map((c) => h("option", { value: c.uuid, selected: c === wanted }, c.shortName)),
  );
  const kind = h(
    "select",
    {},
    ["main", "sub"].map((k) => h("option", { value: k, selected: k === parameters.get("stream") }, S.streams[k])),
  );
  const from = h("input", {
    type: "datetime-local",
    step: "1",
    value: inputValue(parse(parameters.get("from") ?? "") ?? startOfDay(now90k())),
  });
  const to = h("input", {
    type: "datetime-local",
    step: "1",
    value: inputValue(parse(parameters.get("to") ?? "") ?? startOfDay(now90k()) + DAY),
  });
  const split = h(
    "select",
    {},
    SPLITS.map((s) => h("option", { value: String(s), selected: s === HOUR }, duration(s).replace(/ 0 (s|min)$/, ""))),
    h("option", { value: "" }, x.whole),
  );
  const subtitles = h("input", { type: "checkbox" });
  const trim = h("input", { type: "checkbox", checked: true });
  const body = h("tbody", {});
  const status = h("p", { class: "hint", role: "status" });
  const wrong = trouble();
  const table = h(
    "table",
    {},
    h("caption", { class: "spoken" }, x.title),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        [x.start, x.end, x.duration, x.size, x.video, x.frames, x.rate, x.file].map((t, i) =>
          h("th", { scope: "col", class: i > 1 && i < 7 ? "number" : null }, t),
        ),
      ),
    ),
    body,
  );
  root.append(
    h(
      "div",
      { class: "page-head" },
      h("h1", {}, x.title),
      h("div", { class: "tools" }, h("a", { class: "plain", href: "#timeline" }, icon("timeline"), S.tabs.timeline)),
    ),
    h("p", { class: "hint" }, x.long),
    h(
      "div",
      { class: "filters" },
      field(x.camera, camera),
      field(x.stream, kind),
      field(x.from, from),
      field(x.to, to),
      field(x.split, split),
    ),
    h("div", { class: "tools" }, check(x.subtitles, subtitles), check(x.trim, trim)),
    wrong.element,
    status,
    tableFrame(x.title, table),
  );
  let turn = 0;
  let timer = 0;

  /** @param {Row} row @param {number} a @param {number} b */
  const links = (row, a, b) => {
    const path = streamPath(camera.value, kind.value);
    const ids = row.endId === undefined || row.endId === row.startId ? `${row.startId}` : `${row.startId}-${row.endId}`;
    const isCut = (trim.checked && (a > row.startTime90k || b < row.endTime90k)) || row.growing;
    const start = trim.checked ? a - row.startTime90k : 0;
    const end = trim.checked ? b - row.startTime90k : row.endTime90k - row.startTime90k;
    const s = `${ids}@${row.openId}${isCut ? `.${start}-${end}` : ""}`;
    const name = `${cameras.find((c) => c.uuid === camera.value)?.shortName} ${isoDate(a)} ${clock(a).replaceAll(":", ".")}.mp4`;
    const file = url(`${path}/view.mp4`, { s, ts: subtitles.checked ? true : null });
    const isWhole = row.endId === undefined;
    return h(
      "td",
      {},
      h("a", { href: file }, x.watch),
      " ",
      h("a", { href: `${file}&filename=${encodeURIComponent(name)}`, download: name }, x.save),
      " ",
      h("a", { href: url(`${path}/view.mp4.txt`, { s }), title: isWhole ? x.boxesLong : null }, x.boxes),
    );
  };
  const read = async () => {
    const mine = ++turn;
    const [a, b] = [parse(from.value), parse(to.value)];
    if (!camera.value) return say(status, S.noCameras);
    if (a === null || b === null || a >= b) return say(status, S.export.wrong);
    say(status, S.loading);
    try {
      const { rows, entries } = await list(camera.value, kind.value, a, b, split.value ? Number(split.value) : undefined);
      if (mine !== turn) return;
      wrong.tell("");
      const newest = rows.reverse().slice(0, MOST);
      body.replaceChildren(
        ...newest.map((row) => {
          const [start, end] = trim.checked
            ? [Math.max(a, row.startTime90k), Math.min(b, row.endTime90k)]
            : [row.startTime90k, row.endTime90k];
          const seconds = (row.endTime90k - row.startTime90k) / TICKS_PER_SECOND;
          const entry = entries[row.videoSampleEntryId];
          const part = seconds > 0 ? (end - start) / TICKS_PER_SECOND / seconds : 1;
          return h(
            "tr",
            {},
            h(
              "td",
              {},
              h("a", { href: `#timeline?cameras=${camera.value}&t=${encodeURIComponent(iso(start))}` }, dateTime(start)),
            ),
            h(
              "td",
              {},
              clock(end),
              row.growing ? ` ${x.growing}` : "",
              row.endReason && h("span", { class: "hint block" }, row.endReason),
            ),
            h("td", { class: "number" }, duration(end - start)),
            h("td", { class: "number" }, bytes(row.sampleFileBytes * part)),
            h("td", { class: "number" }, entry ? `${entry.width} × ${entry.height}` : "–"),
            h("td", { class: "number" }, seconds > 0 ? S.camera.perSecond((row.videoSamples / seconds).toFixed(1)) : "–"),
            h("td", { class: "number" }, seconds > 0 ? bitRate((8 * row.sampleFileBytes) / seconds) : "–"),
            links(row, start, end),
          );
        }),
      );
      say(status, rows.length === 0 ? S.export.nothing : rows.length > MOST ? x.more(MOST, rows.length) : "");
    } catch (e) {
      wrong.tell(/** @type {Error} */ (e).message);
      say(status, "");
    }
  };
  const changed = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const asked = { camera: camera.value, stream: kind.value, from: from.value, to: to.value };
      history.replaceState(null, "", `#segments?${new URLSearchParams(asked)}`);
      read();
    }, PAUSE_MS);
  };
  for (const input of [camera, kind, from, to, split, subtitles, trim]) {
    input.addEventListener("input", changed);
  }
  read();
  return () => {
    turn += 1;
    clearTimeout(timer);
  };
}
