// How the recorder fares: what it is at, what was lost in the last 30 days, the machine.

import { get } from "/ui/api.js";
import { machine } from "/ui/appliance.js";
import { h, icon, renew } from "/ui/dom.js";
import { facts, stateWord, tableFrame } from "/ui/facts.js";
import { trouble } from "/ui/form.js";
import { bitRate, bytes, duration, share } from "/ui/format.js";
import { may, now90k, watch } from "/ui/state.js";
import { S } from "/ui/strings-manage.js";
import { date, dateTime, zoneAbbreviation, zoneName } from "/ui/time.js";

const FIGURES_MS = 3000;
/** A turn of the loop with more work than this is worth a word, in microseconds. */
const LONG_TURN_US = 100000;

/** @param {number} us */
const ms = (us) => (us < 1000 ? `${us} µs` : `${(us / 1000).toFixed(1)} ms`);

/** A figure in large type, with its name. @param {string} name @param {string} value @param {string} [hint] @param {boolean} [isBad] */
const figure = (name, value, hint, isBad = false) =>
  h(
    "div",
    { class: isBad ? "figure bad" : "figure" },
    h("dt", {}, name),
    h("dd", {}, value),
    hint && h("dd", { class: "hint" }, hint),
  );

/** @param {HTMLElement} root */
export function show(root) {
  const x = S.system;
  const figures = h("dl", { class: "figures-large" });
  const cameras = tableFrame(x.lately);
  const rest = h("div", { class: "cards" });
  const appliance = h("div", {});
  const wrong = trouble();
  const log = h("a", { class: "plain", href: "#log", hidden: true }, icon("log"), x.log);
  // All at once, when it is known: nothing jumps while it is read.
  const body = h(
    "div",
    { hidden: true },
    figures,
    h("h2", {}, x.lately),
    cameras,
    h("h2", {}, x.recorder),
    rest,
    h("p", { class: "hint" }, h("a", { href: "/metrics" }, x.metrics), ` · `, h("a", { href: "/api/system" }, x.raw)),
    appliance,
  );
  root.append(h("div", { class: "page-head" }, h("h1", {}, x.title), h("div", { class: "tools" }, log)), wrong.element, body);
  let isEnded = false;

  /** @param {any} told */
  const draw = (told) => {
    const { process, loop, load } = told;
    const streams = told.cameras.flatMap((/** @type {any} */ c) => Object.values(c.streams));
    const wanted = streams.filter((/** @type {any} */ s) => s.record);
    const good = wanted.filter((/** @type {any} */ s) => s.recording);
    const rate = good.reduce((/** @type {number} */ sum, /** @type {any} */ s) => sum + (s.bitsPerSecond ?? 0), 0);
    const lost = streams.reduce((/** @type {number} */ sum, /** @type {any} */ s) => sum + (s.lostPackets ?? 0), 0);
    renew(
      figures,
      figure(x.recording, `${good.length} / ${wanted.length}`, x.streams(bitRate(rate)), good.length < wanted.length),
      ...(process
        ? [
            figure(
              x.cpu,
              `${process.cpuPercent.toFixed(process.cpuPercent < 10 ? 1 : 0)} %`,
              load ? x.load(load.map((/** @type {number} */ l) => l.toFixed(2)).join(" · ")) : "",
            ),
          ]
        : []),
      ...(process ? [figure(x.memory, bytes(process.residentBytes), x.memoryHint)] : []),
      ...(loop
        ? [
            figure(
              x.longest,
              ms(loop.longestRecentTurnUs),
              x.longestLong(ms(loop.longestRecentTurnCpuUs), ms(loop.longestTurnUs)),
              // A turn that waited for the processor tells of a busy machine, not of this program.
              loop.longestRecentTurnCpuUs > LONG_TURN_US,
            ),
          ]
        : []),
      figure(x.lost, lost.toLocaleString("en").replaceAll(",", " "), x.lostHint, lost > 0),
      ...(told.backlogBytes === undefined ? [] : [figure(x.waiting, bytes(told.backlogBytes), x.waitingHint)]),
    );
    renew(cameras, table(told.cameras));
    renew(
      rest,
      h(
        "article",
        { class: "card" },
        facts([
          [x.version, told.serverVersion],
          [x.time, `${dateTime(now90k())} ${zoneAbbreviation(now90k())}`],
          [x.zone, zoneName()],
          [x.clock, told.clockTrusted ? x.clockSet : x.clockUnset],
          [x.started, told.startTime90k ? dateTime(told.startTime90k) : null],
          [x.uptime, told.startTime90k ? duration(told.now90k - told.startTime90k) : null],
        ]),
      ),
      ...(loop
        ? [
            h(
              "article",
              { class: "card" },
              facts([
                [x.busy, duration(loop.busyUs * 0.09)],
                [x.work, x.workOf(ms(loop.longestRecentTurnCpuUs), ms(loop.longestTurnCpuUs))],
                [x.disk, loop.diskBackend === "io_uring" ? "io_uring" : loop.diskBackend],
                [x.diskWaiting, x.most(loop.diskOperations, loop.diskOperationsMost)],
                [x.uncommitted, told.uncommittedRecordings],
                [x.logLost, told.logLinesDropped || null],
              ]),
            ),
          ]
        : []),
      h(
        "article",
        { class: "card" },
        facts([
          [x.viewers, told.viewers],
          [x.connections, told.connections],
          [x.refused, told.connectionsRefused || null],
          [x.received, told.bytesReceived === undefined ? null : bytes(told.bytesReceived)],
          [x.sent, told.bytesSent === undefined ? null : bytes(told.bytesSent)],
        ]),
      ),
    );
  };
  /** @param {any[]} all */
  const table = (all) => {
    const rows = all.flatMap((camera) =>
      Object.entries(camera.streams)
        .sort()
        .map(([kind, /** @type {any} */ s], i) => {
          const l = s.lately;
          const word = s.recording
            ? stateWord(S.cameras.recording, "good")
            : s.record
              ? stateWord(S.cameras.notRecording, "bad")
              : stateWord(S.cameras.off, "calm");
          return h(
            "tr",
            {},
            h(
              "th",
              { scope: "row" },
              i === 0
                ? h("a", { href: `#timeline?cameras=${camera.uuid}` }, camera.shortName)
                : h("span", { class: "spoken" }, camera.shortName),
            ),
            h("td", {}, S.streams[kind] ?? kind),
            h("td", {}, word),
            h("td", { class: "number" }, s.bitsPerSecond ? bitRate(s.bitsPerSecond) : "–"),
            h("td", { class: l && l.missingPercent > 1 ? "number worse" : "number" }, l ? share(l.missingPercent) : "–"),
            h("td", { class: "number" }, l ? `${l.complete === false ? "≥ " : ""}${l.gaps}` : "–"),
            h("td", { class: "number" }, l ? duration(l.missingDuration90k) : "–"),
            h("td", { class: "number" }, l ? date(l.startTime90k) : "–"),
            h("td", { class: "number" }, String(s.lostPackets ?? 0)),
          );
        }),
    );
    return h(
      "table",
      {},
      h("caption", { class: "spoken" }, x.lately),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          [x.camera, x.stream, x.state, x.rate, x.missing, x.gaps, x.missingTime, x.since, x.lost].map((t, i) =>
            h("th", { scope: "col", class: i > 2 ? "number" : null }, t),
          ),
        ),
      ),
      h("tbody", {}, rows),
    );
  };
  const load = async () => {
    if (document.hidden) return;
    try {
      const told = await get("/api/system");
      if (isEnded) return;
      wrong.tell("");
      draw(told);
      body.hidden = false;
    } catch (e) {
      if (!isEnded) wrong.tell(/** @type {Error} */ (e).message);
    }
  };
  const timer = setInterval(load, FIGURES_MS);
  load();
  const unwatch = watch(() => {
    log.hidden = !may("adminUsers");
  });

  const endMachine = may("administer") ? machine(appliance) : () => {};
  return () => {
    isEnded = true;
    clearInterval(timer);
    endMachine();
    unwatch();
  };
}
