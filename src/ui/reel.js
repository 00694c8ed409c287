// What was recorded of one camera, played through Media Source Extensions at the time it is told to.

import { ask, streamPath } from "/ui/api.js";
import { init, sourceType } from "/ui/player.js";
import { list } from "/ui/recorded.js";
import { now90k } from "/ui/state.js";
import { DAY, MINUTE, TICKS_PER_SECOND } from "/ui/time.js";

/** @typedef {import("/ui/recorded.js").Row} Row */

/** The first fetch after a jump is short, so that its picture is there at once; then they are longer. In 1/90,000 s. */
const FIRST_CHUNK = 2 * TICKS_PER_SECOND;
const CHUNK = 10 * TICKS_PER_SECOND;
/** How much is fetched ahead at speed 1, and kept behind. */
const AHEAD = 12 * TICKS_PER_SECOND;
const BEHIND = 30 * TICKS_PER_SECOND;
/** Recordings are listed so far around. */
const LISTED = 10 * MINUTE;
/** A list that ends in a recording that grows is old after this. */
const GROWS = 2 * TICKS_PER_SECOND;
/** Media time 0 is this long before the first time shown: what is earlier needs room too. */
const BEFORE = 400 * DAY;
/** Further off than this, in seconds of the clock, the video jumps; less is caught up with. */
const FAR_S = 0.4;
/** What is left of a recording and shorter than this holds no frame: rounding left it. In 1/90,000 s. */
const SLIVER = 90;
/** The fastest that browsers play. */
const FASTEST = 16;

export class Reel {
  /**
   * @param {HTMLVideoElement} video
   * @param {string} uuid
   * @param {"main" | "sub"} kind
   * @param {(codec: string) => void} onUnsupported
   */
  constructor(video, uuid, kind, onUnsupported) {
    this.video = video;
    this.uuid = uuid;
    this.kind = kind;
    this.onUnsupported = onUnsupported;
    /** @type {Row[]} */
    this.rows = [];
    /** @type {Record<string, import("/ui/recorded.js").Entry>} */
    this.entries = {};
    this.listed = { start: 0, end: 0, at: -Infinity };
    /** @type {MediaSource | null} */
    this.source = null;
    /** @type {SourceBuffer | null} */
    this.buffer = null;
    this.origin = 0;
    this.entry = -1;
    /** Something is being fetched or appended. */
    this.isBusy = false;
    this.isEnded = false;
    /** Fetches for a time that is left are ended. */
    this.abort = new AbortController();
    this.wanted = 0;
    /** After a jump the next chunk is a short one. */
    this.isJump = true;
    /** After a failure nothing is fetched until then, by `performance.now()`. */
    this.restUntil = 0;
  }

  end() {
    this.isEnded = true;
    this.abort.abort();
    this.close();
  }

  close() {
    this.buffer = null;
    this.source = null;
    this.entry = -1;
    if (this.video.src) {
      URL.revokeObjectURL(this.video.src);
      this.video.removeAttribute("src");
      this.video.load();
    }
  }

  /** @param {number} t */
  rowAt(t) {
    return this.rows.find((r) => t >= r.startTime90k && t < r.endTime90k) ?? null;
  }

  /** Seconds of media. @param {number} t */
  seconds(t) {
    return (t - this.origin) / TICKS_PER_SECOND;
  }

  /** To what time the browser has everything from `t` on; `t` if it has nothing of it. @param {number} t */
  bufferedTo(t) {
    const ranges = this.buffer?.buffered;
    const s = this.seconds(t);
    for (let i = 0; ranges && i < ranges.length; i += 1) {
      if (s >= ranges.start(i) - 0.05 && s < ranges.end(i)) {
        return this.origin + ranges.end(i) * TICKS_PER_SECOND;
      }
    }
    return t;
  }

  /** Whether the picture of this time can be shown at once. @param {number} t */
  has(t) {
    return this.bufferedTo(t) > t;
  }

  /** The duration of a frame around a time, in 1/90,000 s. @param {number} t */
  frame(t) {
    const row = this.rowAt(t) ?? this.rows[0];
    return row ? Math.max(900, (row.endTime90k - row.startTime90k) / Math.max(1, row.videoSamples)) : 3000;
  }

  /**
   * Shows this time, and fetches what comes; called again and again.
   * @param {number} t
   * @param {number} rate
   * @param {boolean} isPlaying
   */
  follow(t, rate, isPlaying) {
    if (this.isEnded) return;
    if (Math.abs(t - this.wanted) > 4 * TICKS_PER_SECOND * Math.max(1, rate) && !this.has(t)) {
      this.jump();
    }
    this.wanted = t;
    this.fill(t, rate);
    const { video } = this;
    if (!this.source || video.readyState === 0) return;
    if (!this.has(t)) {
      if (!video.paused) video.pause();
      return;
    }
    const off = this.seconds(t) - video.currentTime;
    if (!isPlaying) {
      if (!video.paused) video.pause();
      if (Math.abs(off) > 0.004 && !video.seeking) {
        video.currentTime = this.seconds(t);
      }
      return;
    }
    if (Math.abs(off) > FAR_S * Math.max(1, rate)) {
      if (!video.seeking) video.currentTime = this.seconds(t);
    } else {
      const nudged = Math.min(FASTEST, rate * (1 + Math.max(-0.15, Math.min(0.15, off))));
      if (Math.abs(video.playbackRate - nudged) > 0.02 * rate) {
        video.playbackRate = nudged;
      }
    }
    if (video.paused) video.play().catch(() => {});
  }

  jump() {
    this.abort.abort();
    this.abort = new AbortController();
    this.isJump = true;
    this.restUntil = 0;
  }

  /** Fetches the next that is missing. @param {number} t @param {number} rate */
  async fill(t, rate) {
    if (this.isBusy || performance.now() < this.restUntil) return;
    this.isBusy = true;
    const { signal } = this.abort;
    try {
      await this.know(t, signal);
      const from = this.bufferedTo(t);
      // At the end of a recording the next may begin a frame later.
      const row = this.rowAt(from + SLIVER) ?? this.rowAt(from + this.frame(t));
      const ahead = AHEAD * Math.max(1, rate);
      if (row && from - t < ahead) {
        const length = this.isJump ? FIRST_CHUNK : CHUNK * Math.max(1, rate / 2);
        await this.fetch(row, Math.max(from, row.startTime90k), Math.min(row.endTime90k, from + length), signal);
        this.isJump = false;
      }
    } catch (e) {
      if (!signal.aborted) {
        this.restUntil = performance.now() + 1500;
        this.listed.at = -Infinity;
        if (/** @type {Error} */ (e).name === "QuotaExceededError") {
          await this.forget(t, 5 * TICKS_PER_SECOND);
        }
      }
    }
    this.isBusy = false;
  }

  /** Lists the recordings around a time. @param {number} t @param {AbortSignal} signal */
  async know(t, signal) {
    const isNear = t - MINUTE >= this.listed.start && t + MINUTE <= this.listed.end;
    const last = this.rows.at(-1);
    const isOld =
      t > (last?.endTime90k ?? 0) - MINUTE && now90k() - this.listed.at > GROWS && now90k() - t < this.listed.at - t + LISTED;
    if (isNear && !isOld) return;
    const [start, end] = [t - LISTED, t + LISTED];
    const { rows, entries } = await list(this.uuid, this.kind, start, end, 1);
    if (signal.aborted) return;
    this.rows = rows;
    this.entries = entries;
    this.listed = { start, end, at: now90k() };
  }

  /** @param {Row} row @param {number} start @param {number} end @param {AbortSignal} signal */
  async fetch(row, start, end, signal) {
    const [a, b] = [Math.floor(start - row.startTime90k), Math.ceil(end - row.startTime90k)];
    if (b <= a) return;
    if (!(await this.open(row, start))) return;
    const reply = await ask(`${streamPath(this.uuid, this.kind)}/view.m4s?s=${row.startId}@${row.openId}.${a}-${b}`, { signal });
    const leading = Number(reply.headers.get("X-Leading-Media-Duration"));
    const type = reply.headers.get("Content-Type") ?? "";
    const segment = await reply.arrayBuffer();
    if (signal.aborted || !this.buffer) return;
    if (this.entry !== row.videoSampleEntryId) {
      const head = await init(row.videoSampleEntryId);
      if (this.entry !== -1) this.buffer.changeType(type);
      await this.append(head);
      this.entry = row.videoSampleEntryId;
    }
    if (!this.buffer) return;
    this.buffer.timestampOffset = this.seconds(row.startTime90k + a - leading);
    await this.append(segment);
    await this.forget(this.wanted, BEHIND);
  }

  /** A media source that can take this; false if this browser cannot play it. @param {Row} row @param {number} t */
  async open(row, t) {
    if (this.source && t > this.origin) return this.buffer !== null;
    const type = `video/mp4; codecs="${this.entries[row.videoSampleEntryId]?.codec}"`;
    const Source = sourceType();
    if (!Source?.isTypeSupported(type)) {
      this.isEnded = true;
      this.onUnsupported(this.entries[row.videoSampleEntryId]?.codec ?? type);
      return false;
    }
    this.close();
    const source = new Source();
    this.source = source;
    this.origin = t - BEFORE;
    this.video.disableRemotePlayback = true;
    this.video.src = URL.createObjectURL(source);
    await new Promise((ok) => source.addEventListener("sourceopen", ok, { once: true }));
    if (this.source !== source) return false;
    source.duration = Infinity;
    this.buffer = source.addSourceBuffer(type);
    return true;
  }

  /** @param {ArrayBuffer} bytes */
  async append(bytes) {
    const { buffer } = this;
    if (!buffer) return;
    const done = settled(buffer);
    buffer.appendBuffer(bytes);
    await done;
  }

  /** Forgets what is further than this from a time. @param {number} t @param {number} far */
  async forget(t, far) {
    const { buffer } = this;
    const ranges = buffer?.buffered;
    if (!buffer || !ranges?.length) return;
    const [first, last] = [ranges.start(0), ranges.end(ranges.length - 1)];
    const [from, to] = [this.seconds(t - far), this.seconds(t + 20 * far)];
    for (const [a, b] of [
      [first, from - 1],
      [to, last],
    ]) {
      if (b - a < 1) continue;
      const done = settled(buffer);
      buffer.remove(a, b);
      await done;
    }
  }
}

/** @param {SourceBuffer} buffer */
function settled(buffer) {
  return new Promise((ok, bad) => {
    buffer.addEventListener("updateend", ok, { once: true });
    buffer.addEventListener("error", () => bad(new Error("the browser takes it not")), { once: true });
  });
}
