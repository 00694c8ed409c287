// Pictures that follow the finger: the key frames of what is shown, to be leafed through, and single pictures
// until they have come.

import { ask, streamPath, url } from "/ui/api.js";
import { sourceType } from "/ui/player.js";
import { list } from "/ui/recorded.js";
import { DAY, MINUTE, TICKS_PER_SECOND } from "/ui/time.js";

/** Pictures in one span, about: more are not told apart on the strip. */
const PICTURES = 400;
/** Longer spans have single pictures only: reading their lists would take longer. */
const LONGEST = 2 * DAY;
/** Pixels across of a single picture. */
const WIDTH = 640;

export class Scrub {
  /**
   * @param {HTMLVideoElement} video
   * @param {HTMLImageElement} image
   * @param {string} uuid
   * @param {"main" | "sub"} kind
   */
  constructor(video, image, uuid, kind) {
    this.video = video;
    this.image = image;
    this.uuid = uuid;
    this.kind = kind;
    this.start = 0;
    this.end = 0;
    this.isReady = false;
    this.isLoading = false;
    /** Key frames cannot be had here: pictures can. */
    this.isBarred = false;
    /** @type {number | null} */
    this.next = null;
    this.isImageBusy = false;
    this.isOn = false;
    this.isEnded = false;
    video.addEventListener("seeked", () => this.again());
  }

  close() {
    this.isEnded = true;
    this.hide();
    this.unload();
  }

  unload() {
    this.isReady = false;
    if (this.video.src) {
      URL.revokeObjectURL(this.video.src);
      this.video.removeAttribute("src");
      this.video.load();
    }
  }

  /** Reads the key frames of a span ahead. @param {number} start @param {number} end */
  async load(start, end) {
    if (this.isLoading || this.isBarred || end - start > LONGEST || this.isEnded) {
      return;
    }
    if (this.isReady && start >= this.start && end <= this.end && end - start > (this.end - this.start) / 8) {
      return;
    }
    this.isLoading = true;
    const margin = (end - start) / 4;
    const [from, to] = [Math.round(start - margin), Math.round(end + margin)];
    try {
      await this.read(from, to);
    } catch {
      // Single pictures do too.
      this.isReady = false;
    }
    this.isLoading = false;
  }

  /** @param {number} from @param {number} to */
  async read(from, to) {
    const span = { startTime90k: from, endTime90k: to };
    const { rows, entries } = await list(this.uuid, this.kind, from, to, 60 * MINUTE);
    if (!rows.length) return;
    const Source = sourceType();
    const types = rows.map((r) => `video/mp4; codecs="${entries[r.videoSampleEntryId].codec}"`);
    if (!Source || types.some((type) => !Source.isTypeSupported(type))) {
      this.isBarred = true;
      return;
    }
    const every = Math.round((to - from) / PICTURES);
    const reply = await ask(url(`${streamPath(this.uuid, this.kind)}/scrub.mp4`, { ...span, every90k: every }));
    const bytes = await reply.arrayBuffer();
    if (this.isEnded) return;
    this.unload();
    const source = new Source();
    this.video.src = URL.createObjectURL(source);
    await new Promise((ok) => source.addEventListener("sourceopen", ok, { once: true }));
    const buffer = source.addSourceBuffer(types[0]);
    const done = new Promise((ok, bad) => {
      buffer.addEventListener("updateend", ok, { once: true });
      buffer.addEventListener("error", bad, { once: true });
    });
    // It says by itself which format its pictures are of, also where that changes.
    buffer.appendBuffer(bytes);
    await done;
    source.endOfStream();
    [this.start, this.end, this.isReady] = [from, to, true];
  }

  /** Shows the picture of a time, as soon as it can. @param {number} t */
  show(t) {
    this.isOn = true;
    this.next = t;
    this.again();
  }

  hide() {
    this.isOn = false;
    this.next = null;
    this.video.hidden = this.image.hidden = true;
  }

  again() {
    const t = this.next;
    if (t === null || this.isEnded) return;
    if (this.isReady && t >= this.start && t < this.end) {
      if (this.video.seeking || this.video.readyState === 0) return;
      const to = (t - this.start) / TICKS_PER_SECOND;
      this.next = null;
      if (Math.abs(this.video.currentTime - to) > 0.01) {
        this.video.currentTime = to;
      }
      this.video.hidden = false;
      this.image.hidden = true;
      return;
    }
    if (this.isImageBusy) return;
    this.next = null;
    this.isImageBusy = true;
    const ended = (/** @type {boolean} */ isGood) => {
      this.isImageBusy = false;
      if (this.isOn && isGood) {
        this.image.hidden = false;
        this.video.hidden = true;
      }
      this.again();
    };
    this.image.onload = () => ended(true);
    this.image.onerror = () => ended(false);
    this.image.src = url(`${streamPath(this.uuid, this.kind)}/snapshot.jpg`, { time90k: t, width: WIDTH });
  }
}
