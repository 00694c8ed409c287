// Plays a live stream in a <video>: a WebSocket's segments through Media Source Extensions.

const TICKS_PER_SECOND = 90000;
/** Playing further behind the newest frame than this, in seconds, is sped up, or skipped. */
const BEHIND_S = 0.5;
const FAR_BEHIND_S = 3;
/** How much of the past is kept for the browser, in seconds. */
const KEPT_S = 20;
/** Segments that wait for the browser; past it the connection is made anew. */
const MAX_WAITING = 600;
/** How long to wait before connecting again, in milliseconds: doubled up to the second. */
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 15000;

/** Initialization segments by the id of their sample entry: they never change. @type {Map<string, Promise<ArrayBuffer>>} */
const inits = new Map();

/** @param {string | number} key */
export function init(key) {
  const id = String(key);
  if (!inits.has(id)) {
    const asked = fetch(`/api/init/${id}.mp4`).then((r) => {
      if (!r.ok) throw new Error(`initialization segment ${id}: ${r.status}`);
      return r.arrayBuffer();
    });
    asked.catch(() => inits.delete(id));
    inits.set(id, asked);
  }
  return /** @type {Promise<ArrayBuffer>} */ (inits.get(id));
}

/** What this browser has for playing segments; phones of Apple have their own. @returns {typeof MediaSource | undefined} */
export const sourceType = () => /** @type {any} */ (window).ManagedMediaSource ?? window.MediaSource;

/**
 * Takes a message apart: header lines, an empty line, a media segment.
 * @param {ArrayBuffer} buffer
 */
function parse(buffer) {
  const bytes = new Uint8Array(buffer);
  let end = 0;
  while (end + 3 < bytes.length && !(bytes[end] === 13 && bytes[end + 1] === 10 && bytes[end + 2] === 13)) {
    end += 1;
  }
  /** @type {Map<string, string>} */
  const fields = new Map();
  for (const line of new TextDecoder().decode(bytes.subarray(0, end)).split("\r\n")) {
    const colon = line.indexOf(": ");
    fields.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 2));
  }
  const [start, stop] = (fields.get("x-media-time-range") ?? "").split("-").map(Number);
  const before = Number(fields.get("x-prev-media-duration"));
  return {
    type: fields.get("content-type") ?? "",
    entry: fields.get("x-video-sample-entry-id") ?? "",
    start: (before + start) / TICKS_PER_SECOND,
    end: (before + stop) / TICKS_PER_SECOND,
    // When the last of it was recorded, in 1/90,000 s.
    wall: Number(fields.get("x-recording-start")) + stop,
    segment: bytes.subarray(end + 4),
  };
}

/**
 * A stream being watched. `onState` is told "waiting", "playing" with when the picture that is shown was
 * recorded, "unsupported" with the codec, or "lost".
 */
export class Player {
  /**
   * @param {HTMLVideoElement} video
   * @param {string} url
   * @param {(state: string, detail?: any) => void} onState
   */
  constructor(video, url, onState) {
    this.video = video;
    this.url = url;
    this.onState = onState;
    this.retry = 0;
    /** Something is fetched that the next segment needs. */
    this.busy = false;
    /** When the end of what the browser has was recorded, in 1/90,000 s. */
    this.wall = 0;
    /** Media time that is 0 for the browser, in seconds. */
    this.origin = 0;
    /** @type {ReturnType<typeof parse>[]} */
    this.waiting = [];
    /** @type {MediaSource | null} */
    this.source = null;
    /** @type {SourceBuffer | null} */
    this.buffer = null;
    /** The sample entry that the browser has last got. @type {string | null} */
    this.entry = null;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.retryMs = FIRST_RETRY_MS;
    this.stopped = false;
    this.connect();
  }

  /** Ends it for good. */
  stop() {
    this.stopped = true;
    clearTimeout(this.retry);
    this.disconnect();
  }

  connect() {
    this.onState("waiting");
    this.waiting = [];
    this.source = null;
    this.buffer = null;
    this.entry = null;
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (m) => this.received(m.data);
    socket.onclose = () => this.lost();
    this.socket = socket;
  }

  disconnect() {
    if (this.socket) {
      this.socket.onmessage = null;
      this.socket.onclose = null;
      this.socket.close();
      this.socket = null;
    }
    this.buffer = null;
    this.source = null;
    if (this.video.src) {
      URL.revokeObjectURL(this.video.src);
      this.video.removeAttribute("src");
      this.video.load();
    }
  }

  lost() {
    this.disconnect();
    if (this.stopped) return;
    this.onState("lost");
    this.retry = setTimeout(() => this.connect(), this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, LAST_RETRY_MS);
  }

  /** @param {ArrayBuffer | string} data */
  received(data) {
    // Frames that were dropped show by themselves; an error is followed by the end.
    if (typeof data === "string") return;
    const part = parse(data);
    if (!this.source && !this.open(part)) return;
    this.waiting.push(part);
    if (this.waiting.length > MAX_WAITING) return this.lost();
    this.append();
  }

  /**
   * Makes the media source for the first part; false if this browser cannot play it.
   * @param {ReturnType<typeof parse>} part
   */
  open(part) {
    const Source = sourceType();
    if (!Source?.isTypeSupported(part.type)) {
      this.stopped = true;
      this.disconnect();
      this.onState("unsupported", part.type);
      return false;
    }
    const source = new Source();
    this.source = source;
    this.origin = part.start;
    this.video.disableRemotePlayback = true;
    this.video.src = URL.createObjectURL(source);
    source.addEventListener(
      "sourceopen",
      () => {
        if (this.source !== source) return;
        source.duration = Infinity;
        this.buffer = source.addSourceBuffer(part.type);
        this.buffer.addEventListener("updateend", () => this.appended());
        this.append();
      },
      { once: true },
    );
    return true;
  }

  /** Hands the browser what waits, as soon as it takes something. */
  async append() {
    if (!this.buffer || this.buffer.updating || this.busy || !this.waiting.length) {
      return;
    }
    const part = this.waiting[0];
    const buffer = this.buffer;
    try {
      if (this.entry !== part.entry) {
        this.busy = true;
        const bytes = await init(part.entry);
        this.busy = false;
        if (this.buffer !== buffer) return;
        if (this.entry !== null) buffer.changeType(part.type);
        this.entry = part.entry;
        buffer.appendBuffer(bytes);
        return;
      }
      this.waiting.shift();
      this.wall = part.wall;
      buffer.timestampOffset = part.start - this.origin;
      buffer.appendBuffer(part.segment);
    } catch {
      this.busy = false;
      if (this.buffer === buffer) this.lost();
    }
  }

  appended() {
    this.follow();
    this.append();
  }

  /** Keeps near the newest frame, and forgets what is long past. */
  follow() {
    const { video, buffer } = this;
    if (!buffer) return;
    const ranges = buffer.buffered;
    if (!ranges.length) return;
    const end = ranges.end(ranges.length - 1);
    const start = ranges.start(ranges.length - 1);
    const behind = end - video.currentTime;
    if (video.currentTime < start || behind > FAR_BEHIND_S) {
      video.currentTime = Math.max(start, end - BEHIND_S / 2);
    }
    video.playbackRate = behind > BEHIND_S ? 1.1 : 1;
    if (video.paused) video.play().catch(() => {});
    if (video.readyState >= 3) {
      this.retryMs = FIRST_RETRY_MS;
      this.onState("playing", this.wall - behind * TICKS_PER_SECOND);
    }
    const first = ranges.start(0);
    if (video.currentTime - first > 2 * KEPT_S && !buffer.updating && !this.waiting.length) {
      buffer.remove(first, video.currentTime - KEPT_S);
    }
  }
}
