// Looking after an appliance: how the machine fares, updates, backup, power.

import { change, fetchFile, send } from "/ui/api.js";
import { h, icon, put, renew, say } from "/ui/dom.js";
import { facts, stateWord } from "/ui/facts.js";
import { confirmed, field, openDialog, tried, trouble } from "/ui/form.js";
import { bytes, duration } from "/ui/format.js";
import { readMachine, showJob } from "/ui/machine.js";
import { openSettings } from "/ui/settings.js";
import { S } from "/ui/strings-manage.js";
import { TICKS_PER_SECOND } from "/ui/time.js";

const LOOK_MS = 10000;
/** Hotter than this a Raspberry Pi slows down, in degrees Celsius. */
const HOT = 80;
/** An object URL is good for so long, in milliseconds. */
const LINK_MS = 60000;

/** @typedef {import("/ui/machine.js").Machine} Machine */

/** @param {Blob} blob @param {string} name */
function hand(blob, name) {
  const link = URL.createObjectURL(blob);
  h("a", { href: link, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(link), LINK_MS);
}

/** Fills `root`, if the machine is an appliance; returns how to end that. @param {HTMLElement} root */
export function machine(root) {
  const x = S.machine;
  let isEnded = false;
  let isBuilt = false;
  const state = h("article", { class: "card" });
  const problems = h("div", {});
  const job = h("div", {});
  const wrong = trouble();
  const updates = updateCard(job, wrong.tell, () => look());
  const power = h(
    "article",
    { class: "card" },
    h("h2", {}, x.power),
    h("p", { class: "hint" }, x.powerLong),
    h(
      "div",
      { class: "form-end" },
      h("button", { type: "button", class: "plain", onclick: () => turn("reboot") }, x.reboot),
      h("button", { type: "button", class: "plain", onclick: () => turn("powerOff") }, x.powerOff),
      h("button", { type: "button", class: "plain", onclick: () => reset() }, x.reset),
    ),
  );
  let hostname = "";

  /** @param {"reboot" | "powerOff"} action */
  const turn = async (action) => {
    if (
      (await confirmed({ title: `${x[action]}?`, text: action === "reboot" ? x.rebootLong : x.powerOffLong, act: x[action] })) ===
      null
    ) {
      return;
    }
    if (await tried(null, wrong.tell, () => change("POST", "/api/appliance/power", { action }))) {
      say(job, action === "reboot" ? x.rebooting : x.poweringOff);
    }
  };
  const reset = async () => {
    const answer = await confirmed({
      title: `${x.reset}?`,
      text: x.resetLong,
      act: x.reset,
      tick: x.resetTick,
      choices: [
        ["keep", S.cameras.keep, x.resetKeep],
        ["delete", S.cameras.delete, S.cameras.deleteLong],
      ],
    });
    if (answer === null) return;
    await tried(null, wrong.tell, () =>
      change("POST", "/api/appliance/reset", { confirm: hostname, recordings: answer === "delete" }),
    );
  };
  /** @param {Machine} told */
  const draw = (told) => {
    hostname = told.hostname;
    const hot = (told.temperatureCelsius ?? 0) >= HOT;
    renew(
      state,
      h(
        "div",
        { class: "card-head" },
        h("h2", {}, told.hostname),
        told.underVoltage ? stateWord(x.weak, "bad") : hot ? stateWord(x.hot, "bad") : stateWord(x.fine, "good"),
      ),
      told.underVoltage ? h("p", { class: "reason" }, x.weakLong) : "",
      hot ? h("p", { class: "reason" }, x.hotLong) : "",
      facts([
        [x.board, told.board],
        [S.system.version, told.version],
        [
          x.slot,
          told.slots ? x.slotOf(told.slots.running, told.slots.versions?.[told.slots.running === "a" ? "b" : "a"] ?? null) : null,
        ],
        [S.system.uptime, told.uptimeSeconds === null ? null : duration(told.uptimeSeconds * TICKS_PER_SECOND)],
        [x.temperature, told.temperatureCelsius === null ? null : `${told.temperatureCelsius.toFixed(0)} °C`],
        [
          x.wear,
          told.cardWrites
            ? x.wearOf(
                told.cardWrites.bytesPerDay === null ? null : bytes(told.cardWrites.bytesPerDay),
                bytes(told.cardWrites.sinceBootBytes),
              )
            : null,
        ],
        [S.system.clock, told.clockSynchronized === null ? null : told.clockSynchronized ? x.synchronized : x.unsynchronized],
      ]),
      h(
        "div",
        { class: "form-end" },
        h(
          "button",
          { type: "button", class: "plain", onclick: () => openSettings(told.settings, look) },
          icon("edit"),
          x.settings,
        ),
      ),
    );
    renew(
      problems,
      ...(told.problems.length
        ? [
            h(
              "div",
              { class: "trouble" },
              h("strong", {}, x.problems),
              h(
                "ul",
                {},
                told.problems.map((p) =>
                  h(
                    "li",
                    {},
                    `${[p.file, p.line, p.column].filter((v) => v !== null && v !== undefined).join(":")}: ${S.sentence(p.message)}`,
                  ),
                ),
              ),
              h("span", {}, x.problemsLong),
            ),
          ]
        : []),
    );
    updates.draw(told);
  };
  const look = async () => {
    if (document.hidden) return;
    try {
      const told = await readMachine();
      if (isEnded || !told) return;
      if (!told.appliance) {
        if (!isBuilt) put(root, h("div", { class: "cards" }, backupCard(true)));
        isBuilt = true;
        return;
      }
      if (!isBuilt) {
        put(
          root,
          h("h2", {}, x.title),
          problems,
          wrong.element,
          job,
          h("div", { class: "cards" }, state, updates.element, backupCard(true), power),
        );
      }
      isBuilt = true;
      draw(told);
      if (told.job?.state === "running" && !job.hasChildNodes()) showJob(job, told.job);
    } catch (e) {
      if (isBuilt) wrong.tell(/** @type {Error} */ (e).message);
    }
  };
  look();
  const timer = setInterval(look, LOOK_MS);
  return () => {
    isEnded = true;
    clearInterval(timer);
  };
}

/** @param {HTMLElement} job @param {(sentence: string) => void} tell @param {() => void} look */
function updateCard(job, tell, look) {
  const x = S.update;
  const state = h("p", {});
  const bar = h("progress", { hidden: true, "aria-label": x.sending });
  const status = h("p", { class: "hint", role: "status" });
  const file = h("input", { type: "file", accept: ".update", "aria-label": x.choose, onchange: () => upload() });
  const cancel = h("button", { type: "button", class: "plain", hidden: true }, S.cancel);
  const start = h("button", { type: "button", hidden: true }, x.start);
  const back = h("button", { type: "button", class: "plain", hidden: true }, x.back);
  const sticks = h("div", {});
  const upload = async () => {
    const [chosen] = file.files ?? [];
    if (!chosen) return;
    const abort = new AbortController();
    [bar.hidden, cancel.hidden, file.disabled] = [false, false, true];
    cancel.onclick = () => abort.abort();
    await tried(null, tell, async () => {
      const told = await send("/api/appliance/update", chosen, {
        signal: abort.signal,
        onProgress: (sent, all) => {
          [bar.max, bar.value] = [all, sent];
          say(status, sent < all ? x.sent(bytes(sent), bytes(all)) : x.checking);
        },
      });
      say(status, x.written(told?.version ?? ""));
    });
    [bar.hidden, cancel.hidden, file.disabled, file.value] = [true, true, false, ""];
    if (abort.signal.aborted) say(status, "");
    look();
  };
  start.onclick = async () => {
    if ((await confirmed({ title: x.startTitle, text: x.startLong, act: x.start })) === null) return;
    if (await tried(start, tell, () => change("POST", "/api/appliance/update", { action: "start" }))) say(status, x.starting);
  };
  back.onclick = async () => {
    if ((await confirmed({ title: x.backTitle, text: x.backLong, act: x.back })) === null) return;
    if (await tried(back, tell, () => change("POST", "/api/appliance/update", { action: "back" }))) say(status, x.starting);
  };
  return {
    element: h(
      "article",
      { class: "card" },
      h("h2", {}, x.title),
      state,
      h("label", { class: "file" }, h("span", { class: "hint" }, x.choose), file),
      bar,
      status,
      sticks,
      h("div", { class: "form-end" }, start, back, cancel),
    ),
    /** @param {Machine} told */
    draw(told) {
      const { update } = told;
      say(
        state,
        [
          x.states[update?.state ?? "none"] ?? "",
          update?.version ? x.version(update.version) : "",
          S.sentence(update?.message ?? ""),
        ]
          .filter(Boolean)
          .join(" "),
      );
      start.hidden = update?.state !== "written";
      const other = told.slots?.versions?.[told.slots.running === "a" ? "b" : "a"];
      back.hidden = !other || update?.state === "written";
      renew(
        sticks,
        ...(told.updateFiles ?? []).map((f) =>
          h(
            "div",
            { class: "part card-head", "data-key": f.file },
            h("span", {}, x.stick(f.version, bytes(f.sizeBytes))),
            h(
              "button",
              {
                type: "button",
                class: "plain",
                onclick: () =>
                  tried(null, tell, async () => {
                    const answer = await change("POST", "/api/appliance/update", { action: "install", file: f.file });
                    if (answer?.job) await showJob(job, answer.job);
                    look();
                  }),
              },
              x.install,
            ),
          ),
        ),
      );
    },
  };
}

/** Backup and restoring, on any machine. @param {boolean} hasSupport */
export function backupCard(hasSupport) {
  const x = S.backup;
  const wrong = trouble();
  const status = h("div", { role: "status" });
  const ask = (
    /** @type {string} */ title,
    /** @type {string} */ long,
    /** @type {any[]} */ more,
    /** @type {string} */ act,
    /** @type {(passphrase: string) => Promise<any>} */ run,
  ) => {
    const passphrase = h("input", { type: "password", autocomplete: "new-password", maxLength: 256 });
    const inner = trouble();
    const go = h("button", {}, act);
    const submit = async (/** @type {Event} */ e) => {
      e.preventDefault();
      if (await tried(go, inner.tell, () => run(passphrase.value))) dialog.close();
    };
    const dialog = openDialog(title, [
      h(
        "form",
        { onsubmit: submit },
        h("p", { class: "hint" }, long),
        more,
        field(x.passphrase, passphrase, x.passphraseHint),
        inner.element,
        h(
          "div",
          { class: "form-end" },
          go,
          h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, S.cancel),
        ),
      ),
    ]);
  };
  const backup = () =>
    ask(x.make, x.makeLong, [], x.make, async (passphrase) => {
      const { blob, name } = await fetchFile("/api/backup", passphrase ? { passphrase } : {}, "moonfire-nvr.backup");
      hand(blob, name);
      status.replaceChildren(h("p", { class: "well" }, x.made));
    });
  const restore = () => {
    const file = h("input", { type: "file", required: true });
    ask(x.restore, x.restoreLong, [field(x.file, file)], x.restore, async (passphrase) => {
      const told = await send("/api/restore", file.files[0], {
        headers: passphrase ? { "X-Passphrase": encodeURIComponent(passphrase) } : {},
      });
      const n = (/** @type {any} */ v) => (Array.isArray(v) ? v.length : (v ?? 0));
      status.replaceChildren(
        h("p", { class: "well" }, x.restored(n(told?.cameras), n(told?.users))),
        h(
          "ul",
          {},
          (told?.notes ?? []).map((/** @type {string} */ note) => h("li", {}, note)),
        ),
      );
    });
  };
  return h(
    "article",
    { class: "card" },
    h("h2", {}, x.title),
    h("p", { class: "hint" }, x.long),
    wrong.element,
    status,
    h(
      "div",
      { class: "form-end" },
      h("button", { type: "button", class: "plain", onclick: backup }, x.make),
      h("button", { type: "button", class: "plain", onclick: restore }, x.restore),
      hasSupport && h("a", { class: "plain", href: "/api/support", download: "moonfire-nvr-support.txt" }, x.support),
    ),
  );
}
