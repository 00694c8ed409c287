// What was recorded of a stream and why the rest is missing, fetched for what is looked at.

import { get, streamPath, url } from "/ui/api.js";
import { now90k } from "/ui/state.js";
import { DAY, TICKS_PER_SECOND } from "/ui/time.js";

/**
 * @typedef {{startId: number, endId?: number, runStartId: number, openId: number, firstUncommitted?: number,
 *   growing?: boolean, startTime90k: number, endTime90k: number, videoSampleEntryId: number, videoSamples: number,
 *   sampleFileBytes: number, endReason?: string}} Row
 * @typedef {{width: number, height: number, aspectWidth: number, aspectHeight: number, codec: string}} Entry
 * @typedef {{startTime90k: number, endTime90k: number, cause: string, detail: string}} Gap
 * @typedef {{rows: Row[], entries: Record<string, Entry>}} List
 */

/** Longer spans are told from the calendar, day by day: a list of their runs might be too long. */
const LONGEST_LIST = 70 * DAY;
/** Holes shorter than this, between recordings of different runs, are not worth telling. */
const SEAM = TICKS_PER_SECOND / 2;

/**
 * The recordings of a span, oldest first; rows are ended once they are longer than `split` says.
 * @param {string} uuid
 * @param {"main" | "sub"} kind
 * @param {number} start
 * @param {number} end
 * @param {number} [split]
 * @returns {Promise<List>}
 */
export async function list(uuid, kind, start, end, split) {
  const asked = { startTime90k: Math.round(start), endTime90k: Math.round(end), split90k: split };
  const told = await get(url(`${streamPath(uuid, kind)}/recordings`, asked));
  const rows = told.recordings.sort((/** @type {Row} */ a, /** @type {Row} */ b) => a.startTime90k - b.startTime90k);
  return { rows, entries: told.videoSampleEntries };
}

/** What is shown of one stream on its strip. */
export class Recorded {
  /** @param {string} uuid @param {"main" | "sub"} kind @param {() => void} onNews */
  constructor(uuid, kind, onNews) {
    this.uuid = uuid;
    this.kind = kind;
    this.onNews = onNews;
    /** Pieces of what was recorded, and how much of each. @type {{start: number, end: number, share: number}[]} */
    this.pieces = [];
    /** @type {Gap[]} */
    this.gaps = [];
    /** What `pieces` and `gaps` are about. */
    this.start = 0;
    this.end = 0;
    this.isCoarse = true;
    this.askedAt = -Infinity;
    this.isAsking = false;
    /** It was never told anything. */
    this.isNew = true;
  }

  /**
   * Sees to it that this span is known, and that its end is not old.
   * @param {number} start
   * @param {number} end
   */
  async want(start, end) {
    if (this.isAsking) return;
    const length = end - start;
    const isCoarse = length > LONGEST_LIST;
    const isFresh = end < this.askedAt || now90k() - this.askedAt < 3 * TICKS_PER_SECOND + length / 500;
    const isCovered = start >= this.start && end <= this.end && (isCoarse === this.isCoarse || !this.isCoarse);
    if (isCovered && isFresh) return;
    this.isAsking = true;
    // A screen more on both sides, so that moving on finds something there.
    const [from, to] = [start - length, end + length];
    const at = now90k();
    try {
      if (isCoarse) await this.readDays();
      else await this.readList(from, to);
      [this.start, this.end, this.isCoarse, this.askedAt, this.isNew] = isCoarse
        ? [-Infinity, Infinity, true, at, false]
        : [from, to, false, at, false];
    } catch {
      // The shell tells that the recorder does not answer; here it is asked again later.
      this.askedAt = at;
    }
    this.isAsking = false;
    this.onNews();
  }

  /** @param {number} from @param {number} to */
  async readList(from, to) {
    const path = `${streamPath(this.uuid, this.kind)}/gaps`;
    const span = { startTime90k: Math.round(from), endTime90k: Math.round(to) };
    const [{ rows }, { gaps }] = await Promise.all([list(this.uuid, this.kind, from, to), get(url(path, span))]);
    /** @type {typeof this.pieces} */
    const pieces = [];
    for (const row of rows) {
      const last = pieces.at(-1);
      if (last && row.startTime90k - last.end < SEAM) {
        last.end = Math.max(last.end, row.endTime90k);
      } else {
        pieces.push({ start: row.startTime90k, end: row.endTime90k, share: 1 });
      }
    }
    this.pieces = pieces;
    this.gaps = gaps;
  }

  async readDays() {
    const camera = await get(`/api/cameras/${this.uuid}/`);
    /** @type {Record<string, import("/ui/state.js").Day>} */
    const days = camera.streams[this.kind]?.days ?? {};
    this.pieces = Object.values(days).map((d) => ({
      start: d.startTime90k,
      end: d.endTime90k,
      share: Math.min(1, d.totalDuration90k / (d.endTime90k - d.startTime90k)),
    }));
    this.gaps = [];
  }

  /** The piece at a time. @param {number} t */
  at(t) {
    return this.pieces.find((p) => t >= p.start && t < p.end) ?? null;
  }

  /** Whether it is known what there is at this time. @param {number} t */
  knows(t) {
    return !this.isNew && !this.isCoarse && t >= this.start && t < this.end;
  }

  /** The gap at a time. @param {number} t */
  gapAt(t) {
    return this.gaps.find((g) => t >= g.startTime90k && t < g.endTime90k) ?? null;
  }

  /** When the next piece after a time begins. @param {number} t */
  next(t) {
    return this.pieces.find((p) => p.start > t)?.start ?? null;
  }
}
