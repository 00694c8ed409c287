// A camera in the live grid: its picture, how far it is behind, and what is the matter when there is none.

import { streamPath } from "/ui/api.js";
import { button, h, say } from "/ui/dom.js";
import { duration } from "/ui/format.js";
import { Player } from "/ui/player.js";
import { now90k, streamOf } from "/ui/state.js";
import { S } from "/ui/strings.js";
import { TICKS_PER_SECOND, clock } from "/ui/time.js";

/** Further behind than this it is told as something to notice, in 1/90,000 s. */
const FAR_BEHIND = 3 * TICKS_PER_SECOND;

/** @typedef {import("/ui/state.js").Camera} Camera */

export class Tile {
  /** @param {Camera} camera */
  constructor(camera) {
    this.camera = camera;
    this.isLarge = false;
    this.isSeen = false;
    this.state = "paused";
    /** When what is shown was recorded. @type {number | null} */
    this.shownAt = null;
    /** Streams that this browser cannot play. @type {Map<"main" | "sub", string>} */
    this.unplayable = new Map();
    /** @type {Player | null} */
    this.player = null;
    this.video = h("video", { muted: true, playsInline: true, tabIndex: -1, "aria-hidden": "true" });
    this.name = h("span", { class: "tile-name" });
    this.delay = h("span", { class: "tile-delay" });
    this.headline = h("strong", {});
    this.detail = h("span", {});
    this.word = h("div", { class: "tile-word" }, this.headline, this.detail);
    this.note = h("span", { class: "tile-note", hidden: true }, S.live.fallback);
    this.open = h("a", { class: "tile-open" });
    const full = button("full", S.live.fullScreen, () => this.fullScreen());
    this.past = h("a", {
      class: "plain bare",
      title: S.live.recordings,
      "aria-label": S.live.recordings,
      href: `#timeline?cameras=${camera.uuid}`,
    });
    this.past.append(button("timeline", "", () => {}).firstChild);
    this.element = h(
      "article",
      { class: "tile", "data-camera": camera.uuid, title: S.live.arrange },
      this.video,
      this.word,
      this.note,
      this.open,
      h("div", { class: "tile-foot" }, this.name, this.delay, h("span", { class: "tile-tools" }, this.past, full)),
    );
    this.open.draggable = false;
    this.update(camera);
  }

  /** The stream to show: the small one in the grid, if there is one that can be played. */
  kind() {
    const wanted = streamOf(this.camera, this.isLarge ? "main" : "sub");
    const other = wanted === "main" ? "sub" : "main";
    if (wanted && this.unplayable.has(wanted) && this.camera.streams[other] && !this.unplayable.has(other)) {
      return other;
    }
    return wanted;
  }

  isOnScreen() {
    const box = this.element.getBoundingClientRect();
    return !this.element.hidden && box.bottom > 0 && box.top < window.innerHeight;
  }

  /** What nobody sees costs nothing. @param {boolean} isSeen */
  see(isSeen) {
    this.isSeen = isSeen && !document.hidden;
    if (!this.isSeen) this.stop();
    else if (!this.player) this.play();
  }

  /** @param {boolean} isLarge */
  enlarge(isLarge) {
    if (isLarge !== this.isLarge) {
      this.isLarge = isLarge;
      if (this.isSeen) this.play();
    }
    if (this.element.hidden) this.see(false);
    this.show();
  }

  play() {
    this.stop();
    const kind = this.kind();
    if (!kind) return;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const path = `${scheme}//${location.host}${streamPath(this.camera.uuid, kind)}/live.m4s`;
    this.player = new Player(this.video, path, (/** @type {string} */ state, /** @type {any} */ detail) => {
      this.state = state;
      this.shownAt = state === "playing" ? detail : null;
      if (state === "unsupported") {
        this.unplayable.set(kind, detail);
        // The player has ended; the other stream may do.
        if (this.kind() !== kind) {
          return queueMicrotask(() => this.isSeen && this.play());
        }
      }
      if (state !== "playing" || !this.word.hidden) this.show();
    });
  }

  stop() {
    this.player?.stop();
    this.player = null;
    this.state = "paused";
    this.shownAt = null;
  }

  end() {
    this.stop();
  }

  /** @param {Camera} camera */
  update(camera) {
    this.camera = camera;
    this.show();
  }

  /** How far behind, once or twice a second. @param {number} now */
  tick(now) {
    const behind = this.shownAt === null ? null : Math.max(0, now - this.shownAt);
    const s = behind === null ? "" : (behind / TICKS_PER_SECOND).toFixed(1);
    say(this.delay, s === "" ? "" : S.live.delay(s));
    this.delay.hidden = s === "";
    this.delay.title = S.live.delayLong(s);
    this.delay.classList.toggle("late", behind !== null && behind > FAR_BEHIND);
  }

  /** What is the matter, in a headline and a sentence. */
  matter() {
    const kind = this.kind();
    const stream = kind ? this.camera.streams[kind] : null;
    if (!stream) return ["", ""];
    if (!stream.record) return [S.live.off, ""];
    if (!stream.recording && stream.gap) {
      const since = `${clock(stream.gap.startTime90k)} (${duration(now90k() - stream.gap.startTime90k)})`;
      return [`${S.live.away} ${S.live.since(since)}`, S.live.why(stream.gap.detail)];
    }
    const codec = kind && this.unplayable.get(kind);
    if (codec) return ["", S.live.unsupported(codec)];
    if (this.state === "lost") return ["", S.live.lost];
    return this.state === "playing" || this.state === "paused" ? ["", ""] : ["", S.live.waiting];
  }

  show() {
    const [headline, detail] = this.matter();
    say(this.name, this.camera.shortName);
    say(this.headline, headline);
    say(this.detail, detail);
    this.word.hidden = headline === "" && detail === "";
    const wanted = streamOf(this.camera, this.isLarge ? "main" : "sub");
    this.note.hidden = !this.word.hidden || wanted === null || this.kind() === wanted;
    this.element.classList.toggle("away", headline !== "");
    this.element.classList.toggle("large", this.isLarge);
    this.open.href = this.isLarge ? "#live" : `#live?camera=${this.camera.uuid}`;
    const name = this.isLarge ? S.live.shrink(this.camera.shortName) : S.live.enlarge(this.camera.shortName);
    this.open.setAttribute("aria-label", [name, headline, detail].filter(Boolean).join(". "));
  }

  fullScreen() {
    if (document.fullscreenElement) return document.exitFullscreen();
    // Phones of Apple know it of the video alone.
    if (this.element.requestFullscreen) return this.element.requestFullscreen();
    /** @type {any} */ (this.video).webkitEnterFullscreen?.();
  }
}
