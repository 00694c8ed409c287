// Cameras that were found on the network: one user and password tried on them, and all of them recorded.

import { change, get } from "/ui/api.js";
import { h, icon, put, renew, say } from "/ui/dom.js";
import { stateWord } from "/ui/facts.js";
import { field, tried, trouble } from "/ui/form.js";
import { refresh } from "/ui/state.js";
import { S } from "/ui/strings-manage.js";

/** How often is asked while something is under way, while somebody waits for it, and else: each begins a search. In milliseconds. */
const BUSY_MS = 1000;
const FIRST_MS = 10000;
const IDLE_MS = 60000;

/**
 * @typedef {{id: number, address: string, via: string, name: string | null, maker: string | null, model: string | null,
 *   gone: boolean, camera: string | null, state: string, message: string | null, suggestedName: string | null,
 *   picture: string | null, streams: Record<string, any> | null, advice: {kind: string, stream: string | null, message: string}[] | null}} Device
 */

/** What a device is at. @type {Record<string, "good" | "bad" | "calm">} */
const KINDS = { ready: "good", recorded: "good", refused: "bad", failed: "bad" };

/** One that was found. Its field and box stay while news come. */
class Row {
  /** @param {Device} device @param {() => void} onChoice */
  constructor(device, onChoice) {
    const x = S.found;
    this.device = device;
    this.box = h("input", { type: "checkbox", checked: true, "aria-label": x.choose(device.address), onchange: onChoice });
    this.picture = h("img", { alt: "", hidden: true });
    this.title = h("span", { class: "part-name" });
    this.hint = h("span", { class: "hint" });
    this.name = h("input", { "aria-label": x.nameOf(device.address), maxLength: 64, autocomplete: "off" });
    this.state = h("span", {});
    this.message = h("div", {});
    this.element = h(
      "li",
      { class: "found" },
      h("label", { class: "check" }, this.box),
      this.picture,
      h("div", { class: "found-words" }, this.title, this.name, this.hint, this.message),
      this.state,
    );
    this.drawn = "";
    this.update(device);
  }

  /** @param {Device} device */
  update(device) {
    const x = S.found;
    const key = JSON.stringify(device);
    if (key === this.drawn) return;
    this.drawn = key;
    if (!this.name.value && device.suggestedName) this.name.value = device.suggestedName;
    this.device = device;
    const isReady = device.state === "ready";
    this.name.hidden = !isReady;
    say(this.title, isReady ? "" : (device.name ?? device.suggestedName ?? device.address));
    this.title.hidden = isReady;
    const main = device.streams?.main;
    const size = main?.width ? `${main.width} × ${main.height ?? "?"}` : "";
    say(
      this.hint,
      [[device.maker, device.model].filter(Boolean).join(" "), device.address, size, x.via[device.via] ?? device.via]
        .filter(Boolean)
        .join(" · "),
    );
    if (device.picture && this.picture.src !== device.picture) this.picture.src = device.picture;
    this.picture.hidden = !device.picture;
    renew(this.state, stateWord(x.states[device.state] ?? device.state, KINDS[device.state] ?? "calm"));
    renew(
      this.message,
      ...(device.message
        ? [h("p", { class: KINDS[device.state] === "bad" ? "reason" : "hint" }, S.sentence(device.message))]
        : []),
      ...(isReady ? (device.advice ?? []).map((a) => h("p", { class: "hint" }, S.sentence(a.message))) : []),
    );
  }
}

/**
 * Fills `root` with what is found; it stays empty where looking is switched off. Returns how to end that.
 * @param {HTMLElement} root
 * @param {{isFirst?: boolean}} [options] in the first visit it also tells that nothing is found yet
 */
export function found(root, { isFirst = false } = {}) {
  const x = S.found;
  /** @type {Map<number, Row>} */
  const rows = new Map();
  const bare = { autocapitalize: "none", spellcheck: false, autocomplete: "off" };
  const username = h("input", { ...bare, name: "found-user", value: "admin" });
  const password = h("input", { type: "password", name: "found-password", autocomplete: "new-password" });
  const list = h("ul", { class: "finds" });
  const status = h("p", { class: "hint", role: "status" });
  const wrong = trouble();
  const skipped = h("ul", { class: "hint" });
  const attempt = h("button", {}, x.tryAll);
  const record = h("button", { type: "button", hidden: true });
  const again = h("button", { type: "button", class: "plain", onclick: () => search({}) }, icon("search"), x.again);
  const scan = h("button", { type: "button", class: "plain", onclick: () => search({ scan: true }) }, x.scan);
  let isEnded = false;
  let timer = 0;
  let isBuilt = false;

  const waiting = () => [...rows.values()].filter((r) => r.device.state !== "ready" && r.device.state !== "recorded");
  const ready = () => [...rows.values()].filter((r) => r.device.state === "ready" && r.box.checked);
  const shape = () => {
    const n = ready().length;
    record.hidden = n === 0;
    say(record, x.record(n));
    form.hidden = waiting().length === 0;
    record.className = n ? "" : "plain";
    attempt.className = n ? "plain" : "";
  };
  /** @param {any} told */
  const tell = (told) => {
    renew(
      skipped,
      ...(told?.skipped ?? []).map((/** @type {any} */ s) =>
        h("li", {}, `${rows.get(s.id)?.device.address ?? ""}: ${S.sentence(s.message)}`),
      ),
    );
  };
  const submit = async (/** @type {Event} */ e) => {
    e.preventDefault();
    const devices = waiting()
      .filter((r) => r.box.checked)
      .map((r) => r.device.id);
    await tried(attempt, wrong.tell, async () =>
      tell(await change("POST", "/api/onboard/try", { username: username.value, password: password.value, devices })),
    );
    look();
  };
  record.addEventListener("click", async () => {
    const devices = ready().map((r) => ({ id: r.device.id, ...(r.name.value.trim() ? { shortName: r.name.value.trim() } : {}) }));
    await tried(record, wrong.tell, async () => tell(await change("POST", "/api/onboard/record", { devices })));
    await refresh();
    look();
  });
  const search = async (/** @type {object} */ how) => {
    await tried(null, wrong.tell, () => change("POST", "/api/onboard/search", how));
    look();
  };
  const form = h(
    "form",
    { onsubmit: submit, hidden: true },
    h("div", { class: "fields" }, field(S.camera.username, username), field(S.camera.password, password)),
    h("p", { class: "hint" }, x.once),
    h("div", { class: "form-end" }, attempt),
  );

  const build = () => {
    if (isBuilt) return;
    isBuilt = true;
    put(
      root,
      h(
        "section",
        { class: "card" },
        h("div", { class: "card-head" }, h("h2", {}, x.title), h("div", { class: "tools" }, again, scan)),
        status,
        list,
        form,
        wrong.element,
        skipped,
        h("div", { class: "form-end" }, record),
      ),
    );
  };
  const look = async () => {
    clearTimeout(timer);
    let pause = isFirst ? FIRST_MS : IDLE_MS;
    try {
      if (!document.hidden || !isBuilt) {
        const told = await get("/api/onboard/");
        if (isEnded) return;
        const shown = /** @type {Device[]} */ (told.devices).filter((d) => !d.gone && d.state !== "recorded");
        // Where nothing is found there is nothing to say, but to who waits for it.
        if (shown.length || isFirst || isBuilt) build();
        if (told.searching || told.trying > 0) pause = BUSY_MS;
        for (const device of shown) {
          const row = rows.get(device.id);
          if (row) {
            row.update(device);
          } else {
            const made = new Row(device, shape);
            rows.set(device.id, made);
            list.append(made.element);
          }
        }
        for (const [id, row] of rows) {
          if (shown.some((d) => d.id === id)) continue;
          row.element.remove();
          rows.delete(id);
        }
        again.disabled = told.searching;
        say(
          status,
          told.trying > 0
            ? x.trying(told.trying)
            : told.searching
              ? x.searching
              : shown.length
                ? x.foundSome(shown.length)
                : x.nothing,
        );
        shape();
      }
    } catch (e) {
      const { status: code } = /** @type {import("/ui/api.js").Refusal} */ (e);
      // Switched off, or of no concern to who looks.
      if (isEnded || code === 409 || code === 403 || code === 404) return;
    }
    timer = setTimeout(look, pause);
  };
  look();
  return () => {
    isEnded = true;
    clearTimeout(timer);
  };
}
