// The first visit: after the administrator come the clock and the disk, the cameras, and how much to keep.

import { change, get, streamPath, url } from "/ui/api.js";
import { cameraForm } from "/ui/camera-form.js";
import { found } from "/ui/found.js";
import { plugged } from "/ui/disks.js";
import { h, put, renew, say } from "/ui/dom.js";
import { facts, stateWord, tableFrame } from "/ui/facts.js";
import { daysKept, withRates } from "/ui/forecast.js";
import { check, field, tried, trouble } from "/ui/form.js";
import { bitRate, bytes, days } from "/ui/format.js";
import { readMachine } from "/ui/machine.js";
import { changeSettings, zoneChoice } from "/ui/settings.js";
import { may, now90k, recorder, refresh, watch } from "/ui/state.js";
import { STEPS, stepsView } from "/ui/steps.js";
import { S } from "/ui/strings-manage.js";
import { dateTime, zoneAbbreviation, zoneName } from "/ui/time.js";

const FIGURES_MS = 4000;

/** @typedef {import("/ui/steps.js").Step} Step */

/** Which step is shown. @type {((parameters: URLSearchParams) => boolean) | null} */
let goTo = null;

/** @param {URLSearchParams} parameters */
export const moved = (parameters) => goTo?.(parameters) ?? false;

/** @param {HTMLElement} root @param {URLSearchParams} parameters */
export function show(root, parameters) {
  const box = h("div", { class: "welcome" });
  root.append(box);
  let end = () => {};
  goTo = (p) => {
    const asked = /** @type {Step} */ (p.get("step"));
    const step = STEPS.includes(asked) && asked !== "administrator" ? asked : "machine";
    end();
    box.replaceChildren(h("h1", {}, S.welcome.titles[step]), stepsView(step));
    const part = h("div", {});
    box.append(part);
    end = { machine, cameras, keep }[step](part);
    window.scrollTo(0, 0);
    return true;
  };
  if (may("configure")) goTo(parameters);
  else box.append(h("p", { class: "trouble" }, S.refusal(403, "", 0)));
  return () => {
    goTo = null;
    end();
  };
}

/** @param {string | null} before @param {any} next */
const ways = (before, next) =>
  h(
    "div",
    { class: "form-end spread" },
    before && h("a", { class: "plain", href: `#welcome?step=${before}` }, S.welcome.back),
    next,
  );
/** @param {string} hash @param {string} name */
const on = (hash, name) => h("a", { class: "button", href: hash }, name);

/** The clock and the disks. @param {HTMLElement} root */
function machine(root) {
  const x = S.welcome;
  const clock = h("div", {});
  const zone = h("div", {});
  const disks = h("div", { class: "card" });
  const extra = h("div", {});
  root.append(
    h("p", {}, x.machineLong),
    h("div", { class: "cards" }, h("div", { class: "card" }, clock, zone), disks),
    extra,
    ways(null, on("#welcome?step=cameras", x.next)),
  );
  const wrong = trouble();
  let isEnded = false;
  let endPlugged = () => {};
  if (may("administer")) {
    readMachine().then(
      (told) => {
        if (!told?.appliance || isEnded) return;
        const setting = told.settings.timeZone;
        if (setting && setting.from !== "bootFile") {
          put(
            zone,
            field(
              S.system.zone,
              zoneChoice(setting.value ?? zoneName(), (z) => tried(null, wrong.tell, () => changeSettings({ timeZone: z }))),
            ),
            wrong.element,
          );
        }
        endPlugged = plugged(extra);
      },
      () => {},
    );
  }
  const unwatch = watch(() => {
    const { state } = recorder;
    if (!state) return;
    renew(
      clock,
      h(
        "div",
        { class: "card-head" },
        h("h2", {}, x.clock),
        state.clockTrusted ? stateWord(x.clockSet, "good") : stateWord(x.clockUnset, "bad"),
      ),
      facts([
        [S.system.time, `${dateTime(now90k())} ${zoneAbbreviation(now90k())}`],
        [S.system.zone, zoneName()],
      ]),
      h("p", { class: "hint" }, state.clockTrusted ? x.zoneLong : S.clockUntrusted),
    );
    const dirs = state.sampleDirs;
    renew(
      disks,
      h(
        "div",
        { class: "card-head" },
        h("h2", {}, x.disk),
        dirs.length && dirs.every((d) => d.ready) ? stateWord(x.diskReady, "good") : stateWord(x.diskMissing, "bad"),
      ),
      ...dirs.map((d) =>
        h(
          "div",
          { class: "part" },
          h("div", { class: "part-name" }, d.path),
          h(
            "p",
            { class: d.ready ? "hint" : "reason" },
            d.ready
              ? S.storage.free(bytes(d.freeBytes), bytes(d.totalBytes))
              : S.diskTrouble(d.path, d.trouble ?? S.storage.states.away),
          ),
        ),
      ),
      dirs.length ? "" : h("p", { class: "reason" }, extra.hasChildNodes() ? x.noDiskYet : x.noDisk),
    );
  });
  return () => {
    isEnded = true;
    endPlugged();
    unwatch();
  };
}

/** The cameras: those there are, and a form for one more. @param {HTMLElement} root */
function cameras(root) {
  const x = S.welcome;
  const list = h("ul", { class: "made" });
  const place = h("div", { class: "card" });
  const next = on("#welcome?step=keep", x.next);
  let form = /** @type {ReturnType<typeof cameraForm> | null} */ (null);
  let [username, password] = ["", ""];
  const anew = () => {
    form?.end();
    form = cameraForm(null, {
      username,
      password,
      done: () => {
        // The next camera mostly has the same.
        username = /** @type {HTMLInputElement} */ (place.querySelector("[name=camera-user]"))?.value ?? "";
        password = /** @type {HTMLInputElement} */ (place.querySelector("[name=camera-password]"))?.value ?? "";
        anew();
        place.scrollIntoView({ block: "nearest" });
      },
    });
    place.replaceChildren(h("h2", {}, (recorder.state?.cameras.length ?? 0) ? x.another : x.firstCamera), form.element);
  };
  const around = h("div", { class: "around" });
  root.append(h("p", {}, x.camerasLong), list, around, place, ways("machine", next));
  anew();
  let known = "";
  const first = Math.round(performance.now());
  const unwatch = watch(() => {
    const all = recorder.state?.cameras ?? [];
    const key = JSON.stringify(all.map((c) => [c.uuid, c.shortName, c.streams.main?.recording]));
    if (key === known) return;
    known = key;
    next.textContent = all.length ? x.next : x.without;
    next.className = all.length ? "button" : "plain";
    list.hidden = all.length === 0;
    renew(
      list,
      ...all.map((c) => {
        const kind = c.streams.sub ? "sub" : "main";
        const isGood = c.streams.main?.recording ?? c.streams.sub?.recording;
        const image = h("img", {
          alt: "",
          // Another one once it records: there may have been none before.
          src: url(`${streamPath(c.uuid, kind)}/snapshot.jpg`, { width: 160, at: isGood ? first + 1 : first }),
          onload: (/** @type {any} */ e) => (e.target.hidden = false),
          onerror: (/** @type {any} */ e) => (e.target.hidden = true),
        });
        return h(
          "li",
          { "data-key": c.uuid },
          image,
          h("span", { class: "part-name" }, c.shortName),
          stateWord(isGood ? S.cameras.recording : x.starting, isGood ? "good" : "calm"),
        );
      }),
    );
  });
  const endFound = found(around, { isFirst: true });
  return () => {
    endFound();
    unwatch();
    form?.end();
  };
}

/** How much to keep, with what it comes to. @param {HTMLElement} root */
function keep(root) {
  const x = S.welcome;
  const radio = (/** @type {string} */ value) =>
    h("input", { type: "radio", name: "keep", value, checked: value === "room", onchange: () => foretell() });
  const [room, limited] = [radio("room"), radio("days")];
  const most = h("input", {
    type: "number",
    min: "1",
    step: "1",
    value: "30",
    inputMode: "numeric",
    oninput: () => {
      limited.checked = true;
      foretell();
    },
  });
  const table = tableFrame(x.titles.keep);
  const told = h("p", { class: "forecast", role: "status" });
  const wrong = trouble();
  const finish = h("button", { type: "button" }, x.finish);
  /** @type {any} */
  let retained = null;
  let isEnded = false;

  const wanted = () => (limited.checked ? Math.max(1, Number(most.value) || 1) : null);
  const foretell = () => {
    if (!retained) return;
    const rows = /** @type {Node[]} */ ([]);
    let least = Infinity;
    let unknown = 0;
    for (const disk of retained.disks) {
      const same = retained.streams.filter((/** @type {any} */ s) => s.sampleDirId === disk.id && s.record);
      const kept = daysKept(
        same.map((/** @type {any} */ s) => ({ bytesPerDay: s.bytesPerDay, retainBytes: null, retainDays: wanted() })),
        disk.usableBytes,
      );
      same.forEach((/** @type {any} */ s, /** @type {number} */ i) => {
        if (kept[i] === null) unknown += 1;
        else least = Math.min(least, kept[i] ?? 0);
        rows.push(
          h(
            "tr",
            {},
            h("th", { scope: "row" }, s.shortName),
            h("td", {}, S.streams[s.stream] ?? s.stream),
            h("td", { class: "number" }, s.bitRate ? bitRate(s.bitRate) : "–"),
            h("td", { class: "number" }, s.bytesPerDay === null ? "–" : bytes(s.bytesPerDay)),
            h("td", { class: "number" }, kept[i] === null ? x.measuring : days(kept[i] ?? 0)),
          ),
        );
      });
    }
    table.hidden = rows.length === 0;
    renew(
      table,
      h(
        "table",
        {},
        h("caption", { class: "spoken" }, x.titles.keep),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            [S.storage.camera, S.storage.stream, S.system.rate, S.storage.perDay, S.storage.willReach].map((t, i) =>
              h("th", { scope: "col", class: i > 1 ? "number" : null }, t),
            ),
          ),
        ),
        h("tbody", {}, rows),
      ),
    );
    say(
      told,
      rows.length === 0
        ? x.nothingYet
        : least === Infinity
          ? x.measuringLong
          : wanted() !== null && least + 0.01 < (wanted() ?? 0)
            ? x.tooMuch(days(least))
            : x.forecast(days(least), unknown),
    );
  };
  const load = async () => {
    try {
      const [answer, system] = await Promise.all([get("/api/retention"), get("/api/system")]);
      retained = { ...answer, streams: withRates(answer.streams, system.cameras) };
      if (isEnded) return;
      foretell();
    } catch (e) {
      wrong.tell(/** @type {Error} */ (e).message);
    }
  };
  finish.addEventListener("click", () =>
    tried(finish, wrong.tell, async () => {
      const { cameras: configs } = await get("/api/cameras/");
      for (const camera of configs.filter((/** @type {any} */ c) => !c.inFile && !c.removed)) {
        const streams = Object.fromEntries(
          Object.keys(camera.streams).map((k) => [k, { retainDays: wanted(), retainBytes: null }]),
        );
        await change("PATCH", `/api/cameras/${camera.uuid}/`, { camera: { streams } });
      }
      await refresh();
      location.hash = "#live";
    }),
  );
  root.append(
    h("p", {}, x.keepLong),
    h(
      "div",
      { class: "card" },
      check(x.room, room, x.roomLong),
      check(x.limited, limited, x.limitedLong),
      h("div", { class: "inset" }, field(x.most, most)),
      told,
    ),
    table,
    wrong.element,
    ways("cameras", finish),
  );
  load();
  const timer = setInterval(load, FIGURES_MS);
  return () => {
    isEnded = true;
    clearInterval(timer);
  };
}
