// The strips: what there is of each camera over the time that is shown, and the hand that moves over it.

import { streamPath, url } from "/ui/api.js";
import { h } from "/ui/dom.js";
import { marks } from "/ui/scale.js";
import { now90k } from "/ui/state.js";
import { S } from "/ui/strings.js";
import { clock, dateTime } from "/ui/time.js";

/** In pixels of the page. */
const RULER = 28;
/** A finger needs more than a mouse does. */
const ROW = matchMedia("(pointer: coarse)").matches ? 36 : 28;
/** Within this share of the width from an edge a finger that scrubs moves what is shown, by so much a second. */
const EDGE = 0.06;
const EDGE_SPEED = 0.7;
/** A mouse that rests so long, in milliseconds, is shown the picture of that time. */
const REST_MS = 180;
const PREVIEW_WIDTH = 240;
const NAME_FROM = 420;

/** @typedef {{name: string, recorded: import("/ui/recorded.js").Recorded, preview: "main" | "sub", events: () => import("/ui/events.js").Event[]}} Row */
/** @typedef {{scrub: (t: number) => void, drop: (t: number) => void, scale: (scale: import("/ui/scale.js").Scale) => void}} Hand */

export class Strips {
  /** @param {import("/ui/scale.js").Scale} scale @param {Hand} hand */
  constructor(scale, hand) {
    this.scale = scale;
    this.hand = hand;
    /** @type {Row[]} */
    this.rows = [];
    this.t = 0;
    /** @type {{from: number | null, to: number | null}} */
    this.marked = { from: null, to: null };
    this.canvas = h("canvas", {});
    this.preview = h("img", {
      alt: "",
      hidden: true,
      onload: () => this.placePreview(),
      onerror: () => (this.preview.hidden = true),
    });
    this.words = h("div", {});
    this.tip = h("div", { class: "strip-tip", hidden: true }, this.preview, this.words);
    this.restTimer = 0;
    this.pointed = 0;
    this.draggedAt = 0;
    this.element = h(
      "div",
      { class: "strips", role: "slider", tabIndex: 0, "aria-label": S.timeline.strip, "aria-description": S.timeline.stripHelp },
      this.canvas,
      this.tip,
    );
    /** Fingers on the strip, by their ids, and where they are. @type {Map<number, number>} */
    this.fingers = new Map();
    this.isScrubbing = false;
    this.told = "";
    /** What the canvas shows. */
    this.drawn = "";
    const on = (/** @type {string} */ name, /** @type {(e: any) => void} */ act) => this.element.addEventListener(name, act);
    on("pointerdown", (e) => this.down(e));
    on("pointermove", (e) => this.move(e));
    on("pointerup", (e) => this.up(e));
    on("pointercancel", (e) => this.up(e));
    on("pointerleave", () => this.unpoint());
    this.element.addEventListener("wheel", (/** @type {WheelEvent} */ e) => this.wheel(e), { passive: false });
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.element);
  }

  end() {
    this.resized.disconnect();
  }

  get width() {
    return this.element.clientWidth;
  }

  /** @param {PointerEvent | WheelEvent} e */
  xOf(e) {
    return e.clientX - this.element.getBoundingClientRect().left;
  }

  /** @param {PointerEvent} e */
  down(e) {
    if (e.button !== 0) return;
    e.preventDefault();
    this.element.focus({ preventScroll: true });
    this.element.setPointerCapture(e.pointerId);
    this.fingers.set(e.pointerId, this.xOf(e));
    // A second finger zooms: where the first one was is where the time line stays.
    if (this.isScrubbing && this.fingers.size > 1) this.hand.drop(this.t);
    this.isScrubbing = this.fingers.size === 1;
    if (this.isScrubbing) {
      this.hand.scrub(this.scale.time(this.xOf(e), this.width));
    }
  }

  /** @param {PointerEvent} e */
  move(e) {
    const x = this.xOf(e);
    this.point(e, x);
    const before = this.fingers.get(e.pointerId);
    if (before === undefined) return;
    if (this.fingers.size === 2) {
      const other = [...this.fingers].find(([id]) => id !== e.pointerId)?.[1] ?? x;
      const at = this.scale.time(other, this.width);
      const factor = Math.abs(before - other) / Math.max(8, Math.abs(x - other));
      this.hand.scale(this.scale.zoomed(at, factor));
    } else if (this.isScrubbing) {
      this.hand.scrub(this.scale.time(x, this.width));
    }
    this.fingers.set(e.pointerId, x);
  }

  /** @param {PointerEvent} e */
  up(e) {
    if (!this.fingers.delete(e.pointerId) || !this.isScrubbing) return;
    this.isScrubbing = false;
    this.hand.drop(this.scale.time(this.xOf(e), this.width));
  }

  /** Turning the wheel zooms where the pointer is; sideways, or with Shift, it moves. @param {WheelEvent} e */
  wheel(e) {
    e.preventDefault();
    const sideways = e.shiftKey ? e.deltaY || e.deltaX : e.deltaX;
    if (Math.abs(sideways) > Math.abs(e.shiftKey ? 0 : e.deltaY)) {
      this.hand.scale(this.scale.moved((sideways / this.width) * this.scale.length));
      return;
    }
    const lines = e.deltaMode === 1 ? 30 : 1;
    this.hand.scale(this.scale.zoomed(this.scale.time(this.xOf(e), this.width), Math.exp(e.deltaY * lines * 0.002)));
  }

  /** Says what is under a mouse. @param {PointerEvent} e @param {number} x */
  point(e, x) {
    if (e.pointerType === "touch") return;
    const t = this.scale.time(x, this.width);
    const y = e.clientY - this.element.getBoundingClientRect().top;
    const row = this.rows[Math.floor((y - RULER) / ROW)];
    const gap = row?.recorded.gapAt(t);
    const slack = (3 / this.width) * this.scale.length;
    const event = row?.events().find((seen) => t >= seen.start - slack && t < seen.end + slack);
    const what = gap
      ? S.timeline.gap(S.timeline.causes[gap.cause] ?? gap.cause, gap.detail, clock(gap.startTime90k), clock(gap.endTime90k))
      : event
        ? `${dateTime(t)}, ${event.name}`
        : dateTime(t);
    this.words.textContent = row ? `${row.name}: ${what}` : what;
    this.tip.hidden = false;
    this.pointed = x;
    this.placeTip();
    clearTimeout(this.restTimer);
    this.preview.hidden = true;
    const shown = row ?? this.rows[0];
    if (!this.fingers.size && shown?.recorded.at(t)) {
      this.restTimer = setTimeout(() => {
        this.preview.src = url(`${streamPath(shown.recorded.uuid, shown.preview)}/snapshot.jpg`, {
          time90k: Math.round(t),
          width: PREVIEW_WIDTH,
        });
      }, REST_MS);
    }
  }

  unpoint() {
    clearTimeout(this.restTimer);
    this.preview.hidden = true;
    this.tip.hidden = true;
  }

  placePreview() {
    if (this.tip.hidden || this.fingers.size) return;
    this.preview.hidden = false;
    this.placeTip();
  }

  placeTip() {
    const wide = this.tip.offsetWidth;
    const at = Math.max(0, Math.min(this.pointed - wide / 2, this.width - wide));
    this.tip.style.transform = `translateX(${at}px)`;
  }

  /** A finger at an edge goes on to what is beyond it; called with each frame of the display. */
  atEdge() {
    const now = performance.now();
    const passed = Math.min(100, now - this.draggedAt) / 1000;
    this.draggedAt = now;
    if (!this.isScrubbing || this.fingers.size !== 1) return;
    const x = [...this.fingers.values()][0];
    const share = x / this.width;
    const by = share < EDGE ? share - EDGE : share > 1 - EDGE ? share - (1 - EDGE) : 0;
    if (by === 0) return;
    const next = this.scale.moved(Math.max(-1, Math.min(1, by / EDGE)) * EDGE_SPEED * passed * this.scale.length);
    if (next.start > now90k()) return;
    this.hand.scale(next);
    this.hand.scrub(this.scale.time(x, this.width));
  }

  /** Draws if what is shown has moved by something that is seen: called with each frame of the display. */
  follow() {
    const { scale, width } = this;
    const dots = window.devicePixelRatio || 1;
    const at = (/** @type {number} */ t) => Math.round(scale.x(t, width) * dots);
    const key = [scale.start, scale.end, width, dots, at(this.t), Math.min(at(now90k()), width * dots)].join();
    if (key !== this.drawn) this.draw();
    this.drawn = key;
    this.tell();
  }

  draw() {
    const { canvas, scale, width } = this;
    const height = RULER + Math.max(1, this.rows.length) * ROW + 4;
    const dots = window.devicePixelRatio || 1;
    if (!width) return;
    if (canvas.width !== Math.round(width * dots) || canvas.height !== Math.round(height * dots)) {
      canvas.width = Math.round(width * dots);
      canvas.height = Math.round(height * dots);
      canvas.style.height = `${height}px`;
    }
    const c = canvas.getContext("2d");
    const style = getComputedStyle(this.element);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`);
    c.setTransform(dots, 0, 0, dots, 0, 0);
    c.clearRect(0, 0, width, height);
    c.font = `12px ${style.fontFamily}`;
    c.textBaseline = "middle";
    for (const mark of marks(scale, width)) {
      const x = Math.round(scale.x(mark.t, width)) + 0.5;
      c.fillStyle = colour("line");
      c.fillRect(x, mark.isMajor ? 0 : RULER - 6, 1, height);
      c.fillStyle = colour(mark.isMajor ? "ink" : "faint");
      c.fillText(mark.text, x + 4, RULER / 2);
    }
    for (const [i, row] of this.rows.entries()) {
      this.drawRow(c, colour, row, RULER + i * ROW);
    }
    this.drawMarks(c, colour, height);
    const now = scale.x(now90k(), width);
    if (now < width) {
      c.fillStyle = colour("calm-ground");
      c.globalAlpha = 0.6;
      c.fillRect(Math.max(0, now), RULER, width, height);
      c.globalAlpha = 1;
    }
    const x = scale.x(this.t, width);
    c.fillStyle = colour("accent");
    c.fillRect(x - 1, 0, 2, height);
    c.beginPath();
    c.moveTo(x - 6, 0);
    c.lineTo(x + 6, 0);
    c.lineTo(x, 8);
    c.fill();
  }

  /** @param {CanvasRenderingContext2D} c @param {(name: string) => string} colour @param {Row} row @param {number} y */
  drawRow(c, colour, row, y) {
    const { scale, width } = this;
    const bar = (/** @type {number} */ start, /** @type {number} */ end, /** @type {string} */ name, alpha = 1) => {
      const [a, b] = [Math.max(0, scale.x(start, width)), Math.min(width, scale.x(end, width))];
      if (b < 0 || a > width || b < a) return;
      c.globalAlpha = alpha;
      c.fillStyle = colour(name);
      // However short, it is seen.
      c.fillRect(a, y + 3, Math.max(1, b - a), ROW - 6);
      c.globalAlpha = 1;
    };
    for (const gap of row.recorded.gaps) {
      bar(gap.startTime90k, gap.endTime90k, "gap", 0.85);
    }
    for (const piece of row.recorded.pieces) {
      bar(piece.start, piece.end, "recorded", 0.25 + 0.75 * piece.share);
    }
    for (const event of row.events()) {
      const [a, b] = [Math.max(0, scale.x(event.start, width)), Math.min(width, scale.x(event.end, width))];
      if (b < 0 || a > width || b < a) continue;
      c.fillStyle = event.color && CSS.supports("color", event.color) ? event.color : colour("event");
      c.fillRect(a, y + ROW - 9, Math.max(2, b - a), 5);
    }
    if (width < NAME_FROM && this.rows.length === 1) return;
    c.fillStyle = colour("ink");
    const wide = c.measureText(row.name).width;
    c.globalAlpha = 0.75;
    c.fillStyle = colour("card");
    c.fillRect(4, y + 4, wide + 8, ROW - 8);
    c.globalAlpha = 1;
    c.fillStyle = colour("ink");
    c.fillText(row.name, 8, y + ROW / 2);
  }

  /** @param {CanvasRenderingContext2D} c @param {(name: string) => string} colour @param {number} height */
  drawMarks(c, colour, height) {
    const { from, to } = this.marked;
    if (from === null && to === null) return;
    const [a, b] = [from ?? to ?? 0, to ?? from ?? 0].map((t) => this.scale.x(t, this.width));
    c.fillStyle = colour("mark");
    c.globalAlpha = 0.25;
    c.fillRect(a, 0, b - a, height);
    c.globalAlpha = 1;
    for (const x of [a, b]) c.fillRect(x - 1, 0, 2, height);
  }

  /** Tells a screen reader where the time line is. */
  tell() {
    const text = dateTime(this.t);
    if (text === this.told) return;
    this.told = text;
    this.element.setAttribute("aria-valuetext", text);
    this.element.setAttribute("aria-valuemin", "0");
    this.element.setAttribute("aria-valuemax", "1000");
    this.element.setAttribute("aria-valuenow", String(Math.round(Math.max(0, Math.min(1000, this.scale.x(this.t, 1000))))));
  }
}
