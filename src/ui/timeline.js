// The time line page: what was recorded, at any speed, of all chosen cameras in step.

import { button, h, icon, put, renew, say } from "/ui/dom.js";
import { Events } from "/ui/events.js";
import { layOut } from "/ui/grid.js";
import { empty } from "/ui/empty.js";
import { Pane } from "/ui/pane.js";
import { Scale } from "/ui/scale.js";
import { now90k, recorder, streamOf, watch } from "/ui/state.js";
import { S } from "/ui/strings.js";
import { Strips } from "/ui/strips.js";
import { DAY, HOUR, MINUTE, TICKS_PER_MS, TICKS_PER_SECOND, clock, iso, longDate, parse } from "/ui/time.js";

const RATES = [0.25, 0.5, 1, 2, 4, 8, 16];
/** Shown at first: so much up to now. */
const FIRST_SPAN = 2 * HOUR;
/** Playing ends this long before now: what is newer is not written yet. */
const NEWEST = 2 * TICKS_PER_SECOND;
/** So many cameras are played in step at first, and at most. */
const FIRST_CAMERAS = 1;
const MAX_CAMERAS = 4;
/** How often strips ask for news, and the address follows, in milliseconds. */
const ASK_MS = 500;
const ADDRESS_MS = 700;

/** @typedef {import("/ui/state.js").Camera} Camera */

/** What the address says while the page is shown. @type {((parameters: URLSearchParams) => boolean) | null} */
let goTo = null;

/** @param {URLSearchParams} parameters */
export const moved = (parameters) => goTo?.(parameters) ?? false;

/** @param {HTMLElement} root @param {URLSearchParams} parameters */
export function show(root, parameters) {
  const page = new Page(root);
  goTo = (p) => page.read(p);
  page.read(parameters);
  return () => {
    goTo = null;
    page.end();
  };
}

class Page {
  /** @param {HTMLElement} root */
  constructor(root) {
    const now = now90k();
    this.t = now - 30 * TICKS_PER_SECOND;
    this.rate = 1;
    /** Which cameras there were at the last look. */
    this.known = "";
    /** Go to the first that was recorded before this time, once that is known. @type {number | null} */
    this.wantsFirst = null;
    this.isPlaying = false;
    this.isScrubbing = false;
    this.isEnded = false;
    /** Which time is told in words. */
    this.told = { t: NaN, length: 0 };
    this.before = performance.now();
    this.askedAt = -Infinity;
    /** What of the page's state is in the address, since when, and the address as this page left it. */
    this.address = { written: "", at: 0, hash: "" };
    /** @type {Map<string, Pane>} */
    this.panes = new Map();
    this.strips = new Strips(new Scale(now - FIRST_SPAN, now + FIRST_SPAN / 20), {
      scrub: (t) => this.scrub(t),
      drop: (t) => this.drop(t),
      scale: (scale) => this.show(scale),
    });
    this.events = new Events(() => this.strips.draw());
    this.build(root);
    this.unwatch = watch(() => this.camerasAre());
    this.onKey = (/** @type {KeyboardEvent} */ e) => this.key(e);
    document.addEventListener("keydown", this.onKey);
    this.resized = new ResizeObserver(() => layOut(this.grid, this.panes.size, this.grid.clientHeight));
    this.resized.observe(this.grid);
    const turn = () => {
      if (this.isEnded) return;
      this.turn();
      requestAnimationFrame(turn);
    };
    requestAnimationFrame(turn);
  }

  end() {
    this.isEnded = true;
    this.unwatch();
    this.resized.disconnect();
    this.strips.end();
    document.removeEventListener("keydown", this.onKey);
    for (const pane of this.panes.values()) pane.end();
  }

  /** @param {HTMLElement} root */
  build(root) {
    const t = S.timeline;
    this.grid = h("div", { class: "panes" });
    this.nothing = h("div", { class: "empty", hidden: true });
    this.chips = h("div", { class: "chips", role: "group", "aria-label": t.cameras });
    this.play = button("play", t.play, () => this.setPlaying(!this.isPlaying));
    this.play.classList.add("play");
    this.clock = h("time", {});
    this.date = h("span", {});
    this.speed = h("select", { "aria-label": t.speed, onchange: () => this.setRate(Number(this.speed.value)) });
    put(this.speed, ...RATES.map((r) => h("option", { value: String(r), selected: r === 1 }, t.rate(r))));
    const span = (/** @type {string} */ name, /** @type {number} */ length) =>
      h("button", { type: "button", class: "plain wide", onclick: () => this.show(Scale.around(length, this.t)) }, name);
    root.append(
      h("h1", { class: "spoken" }, t.title),
      h(
        "div",
        { class: "timeline-page" },
        this.nothing,
        this.grid,
        this.chips,
        h(
          "div",
          { class: "transport" },
          h(
            "div",
            { class: "plays" },
            button("back", t.frameBack, () => this.step(-1)),
            this.play,
            button("forward", t.frameForward, () => this.step(1)),
            this.speed,
          ),
          h("div", { class: "moment" }, h("div", {}, this.clock, this.date)),
          h(
            "div",
            { class: "spans" },
            button("less", t.zoomOut, () => this.zoom(2)),
            button("more", t.zoomIn, () => this.zoom(0.5)),
            span(t.spans.hour, HOUR),
            span(t.spans.day, DAY),
            span(t.spans.week, 7 * DAY),
            h("button", { type: "button", class: "plain", onclick: () => this.now() }, t.now),
          ),
          h(
            "div",
            { class: "acts" },
            button("calendar", t.calendar, () => this.calendar()),
            button("in", t.markIn, () => this.mark("from")),
            button("out", t.markOut, () => this.mark("to")),
            button("save", t.export, () => this.export()),
            button("help", t.keys, () => keys()),
          ),
        ),
        this.strips.element,
      ),
    );
  }

  /** Takes the address in. @param {URLSearchParams} parameters */
  read(parameters) {
    this.address.hash = location.hash;
    if (parameters.toString() === this.address.written && this.address.written !== "") {
      return true;
    }
    const t = parse(parameters.get("t") ?? "");
    const span = Number(parameters.get("span")) * TICKS_PER_SECOND;
    const wanted = (parameters.get("cameras") ?? "").split(",").filter(Boolean);
    const all = this.cameras();
    const chosen = wanted.filter((uuid) => all.some((c) => c.uuid === uuid)).slice(0, MAX_CAMERAS);
    this.choose(chosen.length ? chosen : all.slice(0, FIRST_CAMERAS).map((c) => c.uuid));
    if (t !== null) {
      this.t = t;
      this.show(Scale.around(span > 0 ? span : FIRST_SPAN, t));
    }
    return true;
  }

  /** What was shown becomes a link. */
  write() {
    const now = performance.now();
    if (this.isScrubbing || now - this.address.at < ADDRESS_MS) return;
    // Somebody is on the way elsewhere, and the event that tells of it comes next: that must not be overwritten.
    if (location.hash !== this.address.hash) return;
    this.address.at = now;
    const parameters = new URLSearchParams();
    parameters.set("cameras", [...this.panes.keys()].join(","));
    parameters.set("t", iso(this.t));
    parameters.set("span", String(Math.round(this.strips.scale.length / TICKS_PER_SECOND)));
    if (parameters.toString() === this.address.written) return;
    this.address.written = parameters.toString();
    history.replaceState(null, "", `#timeline?${this.address.written}`);
    this.address.hash = location.hash;
  }

  cameras() {
    return (recorder.state?.cameras ?? []).filter((c) => Object.keys(c.streams).length > 0);
  }

  camerasAre() {
    const all = this.cameras();
    const key = all.map((c) => c.uuid + c.shortName).join();
    if (key === this.known) return;
    this.known = key;
    this.nothing.hidden = all.length > 0;
    if (!all.length && !this.nothing.hasChildNodes()) {
      put(this.nothing, empty());
    }
    const here = [...this.panes.keys()].filter((uuid) => all.some((c) => c.uuid === uuid));
    this.choose(here.length ? here : all.slice(0, FIRST_CAMERAS).map((c) => c.uuid));
  }

  /** Shows these cameras and no others. @param {string[]} uuids */
  choose(uuids) {
    for (const [uuid, pane] of this.panes) {
      if (uuids.includes(uuid)) continue;
      pane.end();
      pane.element.remove();
      this.panes.delete(uuid);
    }
    for (const camera of this.cameras()) {
      if (!uuids.includes(camera.uuid) || this.panes.has(camera.uuid)) continue;
      const pane = new Pane(camera, () => this.strips.draw());
      this.panes.set(camera.uuid, pane);
      this.grid.append(pane.element);
    }
    renew(
      this.chips,
      ...this.cameras().map((camera) => {
        const isOn = this.panes.has(camera.uuid);
        const isFull = !isOn && this.panes.size >= MAX_CAMERAS;
        return h(
          "button",
          {
            type: "button",
            class: "plain",
            "data-key": camera.uuid,
            "aria-pressed": String(isOn),
            disabled: isFull,
            onclick: () => this.toggle(camera.uuid),
          },
          camera.shortName,
        );
      }),
    );
    this.chips.hidden = this.cameras().length < 2;
    this.strips.rows = [...this.panes.values()].map((p) => ({
      name: p.camera.shortName,
      recorded: p.recorded,
      preview: streamOf(p.camera, "sub") ?? p.kind,
      events: () => this.events.list(p.camera.uuid),
    }));
    this.askedAt = -Infinity;
    layOut(this.grid, this.panes.size, this.grid.clientHeight);
    this.strips.draw();
  }

  /** @param {string} uuid */
  toggle(uuid) {
    const now = [...this.panes.keys()];
    this.choose(now.includes(uuid) ? now.filter((u) => u !== uuid) : [...now, uuid]);
  }

  /** @param {Scale} scale */
  show(scale) {
    this.strips.scale = scale;
    this.strips.draw();
  }

  /** @param {number} factor */
  zoom(factor) {
    this.show(this.strips.scale.zoomed(this.t, factor));
  }

  /** @param {number} t */
  scrub(t) {
    this.isScrubbing = true;
    this.t = t;
    const { start, end } = this.strips.scale;
    for (const pane of this.panes.values()) {
      pane.scrub.load(start, Math.min(end, now90k()));
      pane.scrub.show(t);
    }
  }

  /** @param {number} t */
  drop(t) {
    this.isScrubbing = false;
    this.t = t;
  }

  now() {
    this.t = now90k() - NEWEST;
    const { length } = this.strips.scale;
    this.show(new Scale(this.t - length * 0.9, this.t + length * 0.1));
  }

  /** Goes to a time, which is shown if it is not. @param {number} t */
  go(t) {
    this.t = Math.min(t, now90k() - NEWEST);
    const { scale } = this.strips;
    if (!scale.has(this.t)) this.show(Scale.around(scale.length, this.t));
  }

  /** A frame on or back. @param {number} n */
  step(n) {
    this.setPlaying(false);
    const pane = [...this.panes.values()][0];
    if (pane) this.go(this.t + n * pane.reel.frame(this.t));
  }

  /** To where the recording before or after begins. @param {number} n */
  leap(n) {
    const starts = [...this.panes.values()].flatMap((p) => p.recorded.pieces.map((piece) => piece.start));
    const there = starts.filter((t) => (n > 0 ? t > this.t : t < this.t - TICKS_PER_SECOND));
    if (there.length) this.go(n > 0 ? Math.min(...there) : Math.max(...there));
  }

  /** To the event before or after. @param {number} n */
  leapToEvent(n) {
    const starts = [...this.panes.keys()].flatMap((uuid) => this.events.list(uuid).map((e) => e.start));
    const there = starts.filter((t) => (n > 0 ? t > this.t + TICKS_PER_SECOND : t < this.t - 2 * TICKS_PER_SECOND));
    if (there.length) this.go(n > 0 ? Math.min(...there) : Math.max(...there));
  }

  /** @param {boolean} isPlaying */
  setPlaying(isPlaying) {
    this.isPlaying = isPlaying;
    const name = isPlaying ? S.timeline.pause : S.timeline.play;
    renew(this.play, icon(isPlaying ? "pause" : "play"));
    this.play.title = name;
    this.play.setAttribute("aria-label", name);
  }

  /** @param {number} rate */
  setRate(rate) {
    this.rate = rate;
    this.speed.value = String(rate);
  }

  /** @param {"from" | "to"} which */
  mark(which) {
    const { marked } = this.strips;
    marked[which] = Math.round(this.t);
    if (marked.from !== null && marked.to !== null && marked.from > marked.to) {
      [marked.from, marked.to] = [marked.to, marked.from];
    }
    this.strips.draw();
  }

  export() {
    const { marked, scale } = this.strips;
    const around = Math.min(MINUTE, scale.length / 4);
    const from = marked.from ?? Math.round(this.t - around / 2);
    const to = marked.to ?? Math.min(now90k(), Math.round(from + around));
    import("/ui/export.js").then(({ openExport }) => openExport(this.cameras(), [...this.panes.keys()], from, to));
  }

  calendar() {
    const streams = [...this.panes.values()].map((p) => ({ uuid: p.camera.uuid, kind: p.kind }));
    const choose = (/** @type {number} */ start, /** @type {number} */ end) => {
      this.show(new Scale(start, end));
      // To the first that was recorded on that day, once that is known.
      this.go(start);
      this.wantsFirst = end;
    };
    import("/ui/calendar.js").then(({ openCalendar }) => openCalendar(streams, this.t, choose));
  }

  /** Moves time on, and shows it. */
  turn() {
    const at = performance.now();
    const passed = Math.min(250, at - this.before);
    this.before = at;
    const panes = [...this.panes.values()];
    if (this.isPlaying && !this.isScrubbing && panes.length && !panes.some((p) => p.lacks(this.t))) {
      this.advance(passed, panes);
    }
    if (this.wantsFirst) this.findFirst(panes);
    for (const pane of panes) {
      if (this.isScrubbing) pane.leaf(this.t);
      else pane.show(this.t, this.rate, this.isPlaying);
    }
    if (at - this.askedAt > ASK_MS) {
      this.askedAt = at;
      for (const pane of panes) {
        pane.recorded.want(this.strips.scale.start, this.strips.scale.end);
      }
      this.events.want(this.strips.scale.start, this.strips.scale.end);
    }
    this.strips.atEdge();
    this.strips.t = this.t;
    this.strips.follow();
    if (this.t === this.told.t && this.strips.scale.length === this.told.length) return this.write();
    this.told = { t: this.t, length: this.strips.scale.length };
    say(this.clock, clock(this.t, this.strips.scale.length < 2 * MINUTE));
    say(this.date, longDate(this.t));
    this.write();
  }

  /** @param {number} ms @param {Pane[]} panes */
  advance(ms, panes) {
    let t = this.t + ms * this.rate * TICKS_PER_MS;
    const isKnown = panes.every((p) => p.recorded.knows(t));
    if (isKnown && panes.every((p) => !p.recorded.at(t) && !p.reel.has(t))) {
      // Nothing of anybody: on to what comes next.
      const next = panes.map((p) => p.recorded.next(t)).filter((n) => n !== null);
      t = next.length ? Math.min(.../** @type {number[]} */ (next)) : now90k();
    }
    if (t >= now90k() - NEWEST) {
      t = now90k() - NEWEST;
      this.setRate(Math.min(1, this.rate));
    }
    this.t = t;
    const { scale } = this.strips;
    // The strip turns a page when its end is reached.
    if (t > scale.end - scale.length * 0.02) {
      this.strips.scale = scale.moved(scale.length * 0.8);
    }
  }

  /** @param {Pane[]} panes */
  findFirst(panes) {
    if (!panes.length || !panes.every((p) => p.recorded.knows(this.t))) return;
    const next = panes.map((p) => (p.recorded.at(this.t) ? this.t : p.recorded.next(this.t))).filter((n) => n !== null);
    const first = Math.min(.../** @type {number[]} */ (next));
    if (first < (this.wantsFirst ?? 0)) this.t = first;
    this.wantsFirst = null;
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    const target = /** @type {HTMLElement} */ (e.target);
    if (e.ctrlKey || e.metaKey || e.altKey || target.closest("input, select, textarea, dialog")) {
      return;
    }
    const onButton = target.closest("button, a") !== null;
    const far = e.shiftKey ? MINUTE : 10 * TICKS_PER_SECOND;
    const onStrip = target === this.strips.element;
    const { length } = this.strips.scale;
    const rate = (/** @type {number} */ by) =>
      this.setRate(RATES[Math.max(0, Math.min(RATES.length - 1, RATES.indexOf(this.rate) + by))]);
    /** @type {Record<string, () => void>} */
    const acts = {
      ArrowLeft: () => this.go(this.t - (onStrip ? length / 100 : far)),
      ArrowRight: () => this.go(this.t + (onStrip ? length / 100 : far)),
      ArrowUp: () => rate(1),
      ArrowDown: () => rate(-1),
      PageUp: () => this.go(this.t - length / 10),
      PageDown: () => this.go(this.t + length / 10),
      ",": () => this.step(-1),
      ".": () => this.step(1),
      "+": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      "[": () => this.leap(-1),
      "]": () => this.leap(1),
      "<": () => this.leapToEvent(-1),
      ">": () => this.leapToEvent(1),
      i: () => this.mark("from"),
      o: () => this.mark("to"),
      e: () => this.export(),
      c: () => this.calendar(),
      n: () => this.now(),
      s: () => [...this.panes.values()][0]?.save.click(),
    };
    if (!onButton) acts[" "] = () => this.setPlaying(!this.isPlaying);
    const act = acts[e.key.length === 1 ? e.key.toLowerCase() : e.key];
    if (!act) return;
    e.preventDefault();
    act();
  }
}

/** What the keys do. */
function keys() {
  const dialog = h(
    "dialog",
    { onclose: () => dialog.remove() },
    h(
      "div",
      { class: "dialog-head" },
      h("h2", {}, S.timeline.keys),
      button("close", S.close, () => dialog.close()),
    ),
    h(
      "dl",
      { class: "keys" },
      S.timeline.keyList.flatMap(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)]),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
