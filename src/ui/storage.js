// The disks: how they fare, who has what of them, and how far back that will reach.

import { change, get } from "/ui/api.js";
import { plugged } from "/ui/disks.js";
import { h, put, renew } from "/ui/dom.js";
import { stateWord, tableFrame } from "/ui/facts.js";
import { daysKept, withRates } from "/ui/forecast.js";
import { field, openDialog, tried, trouble } from "/ui/form.js";
import { bytes, days } from "/ui/format.js";
import { readMachine } from "/ui/machine.js";
import { may, now90k, recorder, refresh, watch } from "/ui/state.js";
import { S } from "/ui/strings-manage.js";
import { DAY, date, dateTime } from "/ui/time.js";

/** How often figures are asked for anew, in milliseconds. */
const FIGURES_MS = 5000;

/**
 * @typedef {{uuid: string, shortName: string, stream: string, sampleDirId: number, record: boolean, retainBytes: number | null,
 *   retainDays: number | null, usedBytes: number, minStartTime90k: number | null, bitRate: number | null, bytesPerDay: number | null,
 *   daysUntilLimit: number | null, daysKept: number | null}} Retained
 * @typedef {{id: number, path: string, totalBytes: number, freeBytes: number, reserveBytes: number, usedBytes: number,
 *   usableBytes: number, wantedBytes: number, unlimitedStreams: number, overcommittedBytes: number, bytesPerDay: number,
 *   daysUntilFull: number | null}} Room
 * @typedef {{id: number, path: string, inFile: boolean, state: string, message: string | null, since90k: number | null,
 *   totalBytes: number, freeBytes: number, reserveBytes: number, usedBytes: number, recordings: number,
 *   oldestTime90k: number | null, bytesPerSecond: number, errors: number}} Disk
 */

/** @param {string} name @param {number} part @param {number} whole */
const share = (name, part, whole) => {
  const span = h("span", { class: name });
  span.style.width = `${Math.max(0, Math.min(100, (100 * part) / whole))}%`;
  return span;
};

/** @param {string} name @param {string} kind */
const legend = (name, kind) => h("span", { class: "legend" }, h("span", { class: `dot ${kind}` }), name);

/** @param {Disk} disk @param {Room | null} room */
function diskView(disk, room) {
  const x = S.storage;
  const isGood = disk.state === "recording" || disk.state === "ready";
  const other = Math.max(0, disk.totalBytes - disk.freeBytes - disk.usedBytes);
  const open = Math.max(0, disk.freeBytes - disk.reserveBytes);
  return [
    h(
      "div",
      { class: "card-head" },
      h("h2", {}, disk.path),
      stateWord(x.states[disk.state] ?? disk.state, isGood ? "good" : disk.state === "attaching" ? "calm" : "bad"),
    ),
    !isGood &&
      disk.message &&
      h(
        "p",
        { class: "reason" },
        S.diskTrouble(disk.path, disk.message),
        disk.since90k ? ` ${x.since(dateTime(disk.since90k))}` : "",
      ),
    disk.state === "full" && !disk.message && h("p", { class: "hint" }, x.fullLong),
    disk.totalBytes > 0 &&
      h(
        "div",
        { class: "meter tall", "aria-hidden": "true" },
        share("ours", disk.usedBytes, disk.totalBytes),
        share("other", other, disk.totalBytes),
        share("open", open, disk.totalBytes),
      ),
    disk.totalBytes > 0 &&
      h(
        "div",
        { class: "legends" },
        legend(x.ours(bytes(disk.usedBytes)), "ours"),
        legend(x.other(bytes(other)), "other"),
        legend(x.open(bytes(open)), "open"),
        legend(x.reserve(bytes(disk.reserveBytes)), ""),
      ),
    h(
      "dl",
      { class: "figures" },
      [
        [x.oldest, disk.oldestTime90k ? date(disk.oldestTime90k) : S.none],
        [x.throughput, x.perSecond(bytes(disk.bytesPerSecond))],
        [x.perDay, room && room.bytesPerDay > 0 ? bytes(room.bytesPerDay) : "–"],
        [
          x.untilFull,
          room ? (room.daysUntilFull === null ? x.never : room.daysUntilFull <= 0 ? x.nowFull : days(room.daysUntilFull)) : "–",
        ],
        [x.recordings, disk.recordings.toLocaleString("en").replaceAll(",", " ")],
        [x.errors, String(disk.errors)],
      ].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    ),
    room && room.overcommittedBytes > 0 && h("p", { class: "notice" }, x.overcommitted(bytes(room.overcommittedBytes))),
    disk.inFile && may("administer") && h("p", { class: "hint" }, x.inFile),
  ];
}

/** @param {number | null} d */
const reaches = (d) => (d === null ? S.storage.unknown : d === Infinity ? S.storage.endless : days(d));

/**
 * Changes what is kept of one camera, with what that comes to.
 * @param {string} uuid
 * @param {Retained[]} all of the recorder
 * @param {Room[]} rooms
 * @param {() => void} done
 */
function changeRetention(uuid, all, rooms, done) {
  const x = S.storage;
  const mine = all.filter((s) => s.uuid === uuid);
  const rows = mine.map((stream) => {
    const inDays = h("input", {
      type: "number",
      min: "0.1",
      step: "any",
      inputMode: "decimal",
      value: stream.retainDays ?? "",
      placeholder: x.noLimit,
      oninput: () => foretell(),
    });
    const inBytes = h("input", {
      type: "number",
      min: "0.1",
      step: "any",
      inputMode: "decimal",
      value: stream.retainBytes === null ? "" : stream.retainBytes / 1e9,
      placeholder: x.noLimit,
      oninput: () => foretell(),
    });
    const forecast = h("p", { class: "forecast", role: "status" });
    const name = stream.stream === "main" ? S.camera.mainStream : S.camera.subStream;
    const wish = () => ({
      bytesPerDay: stream.bytesPerDay,
      retainDays: inDays.value === "" ? null : Number(inDays.value),
      retainBytes: inBytes.value === "" ? null : Math.round(Number(inBytes.value) * 1e9),
    });
    const element = h(
      "fieldset",
      { class: "part" },
      h("legend", {}, name),
      h("div", { class: "fields" }, field(x.atMostDays, inDays), field(x.atMostBytes, inBytes)),
      forecast,
    );
    return { stream, wish, forecast, element };
  });
  const foretell = () => {
    for (const row of rows) {
      const id = row.stream.sampleDirId;
      const room = rooms.find((r) => r.id === id);
      const same = all.filter((s) => s.sampleDirId === id && s.record);
      const wishes = same.map((s) => rows.find((r) => r.stream === s)?.wish() ?? s);
      const i = same.indexOf(row.stream);
      const kept = room && i >= 0 ? daysKept(wishes, room.usableBytes)[i] : null;
      const rate = row.stream.bytesPerDay;
      row.forecast.textContent =
        kept === null || !rate ? x.unknownLong : kept === Infinity ? x.endless : x.comesTo(days(kept), bytes(kept * rate));
    }
  };
  foretell();
  const wrong = trouble();
  const save = h("button", {}, S.save);
  const submit = async (/** @type {Event} */ e) => {
    e.preventDefault();
    const streams = Object.fromEntries(
      rows.map(({ stream, wish }) => [stream.stream, { retainBytes: wish().retainBytes, retainDays: wish().retainDays }]),
    );
    const isDone = await tried(save, wrong.tell, () => change("PATCH", `/api/cameras/${uuid}/`, { camera: { streams } }));
    if (!isDone) return;
    dialog.close();
    await refresh();
    done();
  };
  const dialog = openDialog(x.keepOf(mine[0]?.shortName ?? ""), [
    h(
      "form",
      { onsubmit: submit },
      h("p", { class: "hint" }, x.keepLong),
      rows.map((r) => r.element),
      h("p", { class: "hint" }, x.lessLong),
      wrong.element,
      h(
        "div",
        { class: "form-end" },
        save,
        h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, S.cancel),
      ),
    ),
  ]);
}

/** @param {HTMLElement} root */
export function show(root) {
  const x = S.storage;
  const cards = h("div", { class: "cards wide" });
  const kept = tableFrame(x.whoHasWhat);
  kept.hidden = true;
  const head = h("h2", { hidden: true }, x.whoHasWhat);
  const wrong = trouble();
  const extra = h("div", {});
  root.append(h("div", { class: "page-head" }, h("h1", {}, x.title)), wrong.element, cards, head, kept, extra);
  let isEnded = false;

  const load = async () => {
    if (!may("readCameraConfigs")) return simple();
    try {
      const asked = ["/api/disks", "/api/retention", "/api/cameras/", "/api/system"];
      const [{ disks }, told, configs, system] = await Promise.all(asked.map((path) => get(path)));
      if (isEnded) return;
      const retained = { ...told, streams: withRates(told.streams, system.cameras) };
      wrong.tell("");
      const inFile = new Set(configs.cameras.filter((/** @type {any} */ c) => c.inFile).map((/** @type {any} */ c) => c.uuid));
      renew(
        cards,
        ...disks.map((/** @type {Disk} */ disk) =>
          card(diskView(disk, retained.disks.find((/** @type {Room} */ r) => r.id === disk.id) ?? null)),
        ),
      );
      table(retained, inFile);
    } catch (e) {
      wrong.tell(/** @type {Error} */ (e).message);
    }
  };
  /** @param {any[]} children */
  const card = (children) => {
    const article = h("article", { class: "card disk-card" });
    put(article, ...children);
    return article;
  };
  /** What everybody may know. */
  const simple = () => {
    const dirs = recorder.state?.sampleDirs ?? [];
    renew(
      cards,
      ...dirs.map((disk) =>
        card([
          h(
            "div",
            { class: "card-head" },
            h("h2", {}, disk.path),
            disk.ready
              ? stateWord(disk.full ? x.states.full : x.states.recording, disk.full ? "bad" : "good")
              : stateWord(x.states.away, "bad"),
          ),
          disk.trouble && h("p", { class: "reason" }, S.diskTrouble(disk.path, disk.trouble)),
          disk.totalBytes && h("p", { class: "hint" }, x.free(bytes(disk.freeBytes), bytes(disk.totalBytes))),
          disk.totalBytes &&
            h(
              "div",
              { class: "meter tall", "aria-hidden": "true" },
              share("ours", disk.totalBytes - disk.freeBytes, disk.totalBytes),
            ),
        ]),
      ),
    );
    if (dirs.length === 0) {
      cards.replaceChildren(h("p", { class: "hint" }, S.storage.mayNot));
    }
  };
  /** @param {{streams: Retained[], disks: Room[]}} retained @param {Set<string>} inFile */
  const table = ({ streams, disks }, inFile) => {
    const shown = streams.filter((s) => s.record || s.usedBytes > 0);
    /** @type {Map<Retained, number | null>} */
    const reach = new Map();
    for (const room of disks) {
      const same = streams.filter((s) => s.sampleDirId === room.id && s.record);
      daysKept(same, room.usableBytes).forEach((d, i) => reach.set(same[i], d));
    }
    let last = "";
    const rows = shown.map((s) => {
      const isFirst = s.uuid !== last;
      last = s.uuid;
      const limits = [s.retainDays === null ? "" : days(s.retainDays), s.retainBytes === null ? "" : bytes(s.retainBytes)]
        .filter(Boolean)
        .join(", ");
      const goesBack = s.minStartTime90k === null ? null : (now90k() - s.minStartTime90k) / DAY;
      return h(
        "tr",
        { "data-key": `${s.uuid} ${s.stream}` },
        h("th", { scope: "row" }, isFirst ? s.shortName : h("span", { class: "spoken" }, s.shortName)),
        h("td", {}, S.streams[s.stream] ?? s.stream),
        h("td", { class: "number" }, bytes(s.usedBytes)),
        h("td", { class: "number" }, s.bytesPerDay === null ? "–" : bytes(s.bytesPerDay)),
        h("td", { class: "number" }, goesBack === null ? "–" : days(goesBack)),
        h("td", { class: "number" }, limits || x.noLimit),
        h("td", { class: "number" }, s.record ? reaches(reach.get(s) ?? null) : "–"),
        h(
          "td",
          {},
          isFirst &&
            may("configure") &&
            inFile.has(s.uuid) &&
            h("span", { class: "hint", title: x.cameraInFileLong }, x.cameraInFile),
          isFirst &&
            may("configure") &&
            !inFile.has(s.uuid) &&
            h(
              "button",
              {
                type: "button",
                class: "plain",
                "aria-label": `${x.change}: ${s.shortName}`,
                onclick: () => changeRetention(s.uuid, streams, disks, load),
              },
              x.change,
            ),
        ),
      );
    });
    head.hidden = rows.length === 0;
    kept.hidden = rows.length === 0;
    renew(
      kept,
      h(
        "table",
        {},
        h("caption", { class: "spoken" }, x.whoHasWhat),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            [x.camera, x.stream, x.used, x.perDay, x.goesBack, x.limit, x.willReach].map((t, i) =>
              h("th", { scope: "col", class: i > 1 ? "number" : null }, t),
            ),
            h("th", { scope: "col" }, h("span", { class: "spoken" }, x.change)),
          ),
        ),
        h("tbody", {}, rows),
      ),
    );
  };
  let endPlugged = () => {};
  if (may("administer")) {
    readMachine().then(
      (machine) => {
        if (machine?.appliance && !isEnded) endPlugged = plugged(extra);
      },
      () => {},
    );
  }
  const timer = setInterval(() => !document.hidden && load(), FIGURES_MS);
  let known = "";
  const unwatch = watch(() => {
    const key = JSON.stringify([recorder.state?.permissions, recorder.state?.cameras.length]);
    if (key !== known) load();
    known = key;
  });
  return () => {
    isEnded = true;
    clearInterval(timer);
    endPlugged();
    unwatch();
  };
}
