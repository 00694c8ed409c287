// One camera of the time line page: its picture at the time that is shown, played or leafed through.

import { streamPath, url } from "/ui/api.js";
import { button, h, icon, say } from "/ui/dom.js";
import { Reel } from "/ui/reel.js";
import { Recorded } from "/ui/recorded.js";
import { Scrub } from "/ui/scrub.js";
import { now90k, recorder, streamOf } from "/ui/state.js";
import { S } from "/ui/strings.js";
import { clock, isoDate } from "/ui/time.js";

/** How often the link to the picture follows, in milliseconds. */
const LINK_MS = 500;

/** @typedef {import("/ui/state.js").Camera} Camera */

export class Pane {
  /** @param {Camera} camera @param {() => void} onNews */
  constructor(camera, onNews) {
    this.camera = camera;
    const kind = streamOf(camera, "main") ?? "main";
    this.kind = kind;
    this.recorded = new Recorded(camera.uuid, kind, onNews);
    this.video = h("video", { muted: true, playsInline: true, tabIndex: -1, "aria-hidden": "true" });
    const leaf = h("video", { class: "leaf", muted: true, playsInline: true, hidden: true, tabIndex: -1, "aria-hidden": "true" });
    const image = h("img", { class: "leaf", alt: "", hidden: true });
    this.word = h("div", { class: "pane-word", hidden: true });
    this.busy = h("div", { class: "pane-busy", role: "status", hidden: true }, S.timeline.reading);
    this.save = h(
      "a",
      {
        onclick: (/** @type {Event} */ e) => this.saveFrame(e),
        class: "plain bare",
        title: S.timeline.snapshot,
        "aria-label": S.timeline.snapshot,
        href: "",
      },
      icon("photo"),
    );
    this.element = h(
      "article",
      { class: "pane", "aria-label": camera.shortName },
      this.video,
      leaf,
      image,
      this.word,
      this.busy,
      h("div", { class: "pane-name" }, camera.shortName),
      h(
        "div",
        { class: "pane-tools" },
        this.save,
        button("full", S.timeline.full, () => this.fullScreen()),
      ),
    );
    this.t = 0;
    this.linked = NaN;
    this.linkedAt = -Infinity;
    this.trouble = "";
    /** The other stream is played, because this browser cannot play the one that is wanted. */
    this.isFallback = false;
    this.reel = this.makeReel(kind);
    // Key frames of the small stream do for leafing through, and cost a tenth.
    this.scrub = new Scrub(leaf, image, camera.uuid, streamOf(camera, "sub") ?? kind);
  }

  /** @param {"main" | "sub"} kind */
  makeReel(kind) {
    return new Reel(this.video, this.camera.uuid, kind, (codec) => {
      const other = kind === "main" ? "sub" : "main";
      if (kind === this.kind && this.camera.streams[other]) {
        this.isFallback = true;
        this.reel = this.makeReel(other);
      } else {
        this.trouble = S.timeline.unsupported(codec);
      }
    });
  }

  end() {
    this.reel.end();
    this.scrub.close();
  }

  fullScreen() {
    if (document.fullscreenElement) return document.exitFullscreen();
    if (this.element.requestFullscreen) return this.element.requestFullscreen();
    /** @type {any} */ (this.video).webkitEnterFullscreen?.();
  }

  /** Whether there is something to show at a time that the browser has not got yet. @param {number} t */
  lacks(t) {
    return this.trouble === "" && this.recorded.at(t) !== null && !this.reel.has(t);
  }

  /** @param {number} t @param {number} rate @param {boolean} isPlaying */
  show(t, rate, isPlaying) {
    if (!this.scrub.isOn || this.reel.has(t)) this.scrub.hide();
    this.reel.follow(t, rate, isPlaying);
    this.tell(t, this.lacks(t));
  }

  /** The picture of a time while a finger is on the strip. @param {number} t */
  leaf(t) {
    if (!this.video.paused) this.video.pause();
    this.tell(t, false);
  }

  /** @param {number} t @param {boolean} isBusy */
  tell(t, isBusy) {
    say(this.busy, isBusy ? S.timeline.reading : S.timeline.fallback);
    this.busy.hidden = !isBusy && !this.isFallback;
    const said = this.trouble || this.missing(t);
    say(this.word, said);
    this.word.hidden = said === "";
    if (this.save.hidden !== (said !== "")) this.save.hidden = said !== "";
    this.t = t;
    // For who copies the link; with a click it is told to the tick.
    if (performance.now() - this.linkedAt > LINK_MS) this.link();
  }

  /** Where the picture of the time that is shown is to be had. */
  link() {
    this.linkedAt = performance.now();
    if (this.linked === this.t) return;
    this.linked = this.t;
    this.save.href = url(`${streamPath(this.camera.uuid, this.kind)}/snapshot.jpg`, { time90k: Math.round(this.t) });
    this.save.download = `${this.camera.shortName} ${isoDate(this.t)} ${clock(this.t).replaceAll(":", ".")}.jpg`;
  }

  /** Saves the very frame that is shown, if one is; else the link leads to the key frame ahead of it. @param {Event} e */
  saveFrame(e) {
    const { video } = this;
    this.link();
    if (this.scrub.isOn || video.readyState < 2 || !video.videoWidth) return;
    e.preventDefault();
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const name = this.save.download;
    canvas.toBlob(
      (/** @type {Blob} */ blob) => {
        const link = URL.createObjectURL(blob);
        h("a", { href: link, download: name }).click();
        setTimeout(() => URL.revokeObjectURL(link), 10000);
      },
      "image/jpeg",
      0.95,
    );
  }

  /** Why there is no picture of a time. @param {number} t */
  missing(t) {
    if (!this.recorded.knows(t) || this.recorded.at(t) || this.reel.has(t)) {
      return "";
    }
    const gap = this.recorded.gapAt(t);
    if (gap) {
      return `${S.timeline.noPicture}. ${S.timeline.gap(S.timeline.causes[gap.cause] ?? gap.cause, gap.detail, clock(gap.startTime90k), clock(gap.endTime90k))}`;
    }
    if (t > now90k()) return S.timeline.future;
    const first = recorder.state?.cameras.find((c) => c.uuid === this.camera.uuid)?.streams[this.kind]?.minStartTime90k;
    if (first !== null && first !== undefined && t < first) {
      return S.timeline.before;
    }
    return S.timeline.noPicture;
  }
}
