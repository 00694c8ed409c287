// What other programs or the cameras themselves saw: spans in which a signal of a camera was in a state that tells of
// motion, or of something else worth a mark.

import { get, url } from "/ui/api.js";
import { now90k, recorder } from "/ui/state.js";
import { TICKS_PER_SECOND } from "/ui/time.js";

/** @typedef {{start: number, end: number, name: string, color: string | null, isMotion: boolean}} Event */

/** How long what is known is good for, where it goes on, in 1/90,000 s. */
const FRESH = 3 * TICKS_PER_SECOND;

/** Which cameras' events are known, and of what span: shared by all strips. */
export class Events {
  /** @param {() => void} onNews */
  constructor(onNews) {
    this.onNews = onNews;
    /** By the cameras' UUIDs. @type {Map<string, Event[]>} */
    this.of = new Map();
    this.start = 0;
    this.end = 0;
    this.askedAt = -Infinity;
    this.isAsking = false;
  }

  /** Sees to it that this span is known. @param {number} start @param {number} end */
  async want(start, end) {
    const signals = /** @type {any[]} */ (recorder.state?.signals ?? []);
    if (!signals.length || this.isAsking) return;
    const length = end - start;
    const isCovered = start >= this.start && end <= this.end;
    const isFresh = end < this.askedAt || now90k() - this.askedAt < FRESH + length / 500;
    if (isCovered && isFresh) return;
    this.isAsking = true;
    const [from, to] = [Math.round(start - length), Math.round(end + length)];
    const at = now90k();
    try {
      this.read(signals, await get(url("/api/signals", { startTime90k: from, endTime90k: to })), Math.min(to, at));
      [this.start, this.end, this.askedAt] = [from, to, at];
    } catch {
      // More than the recorder tells at once: without marks the strips are still of use.
      [this.start, this.end, this.askedAt] = [from, to, at];
      this.of.clear();
    }
    this.isAsking = false;
    this.onNews();
  }

  /** @param {any[]} signals @param {{times90k: number[], signalIds: number[], states: number[]}} told @param {number} to */
  read(signals, told, to) {
    const types = new Map((recorder.state?.signalTypes ?? []).map((/** @type {any} */ t) => [t.uuid, t]));
    const known = new Map(signals.map((s) => [s.id, s]));
    /** What goes on, by signal. @type {Map<number, {start: number, state: number}>} */
    const open = new Map();
    this.of.clear();
    const end = (/** @type {number} */ id, /** @type {number} */ at) => {
      const begun = open.get(id);
      const signal = known.get(id);
      if (!begun || !signal) return;
      const state = types.get(signal.type)?.states?.find((/** @type {any} */ s) => s.value === begun.state);
      if (!state?.motion && !state?.color) return;
      for (const uuid of Object.keys(signal.cameras ?? {})) {
        const all = this.of.get(uuid) ?? [];
        all.push({
          start: begun.start,
          end: at,
          name: `${signal.shortName}: ${state.name}`,
          color: state.color ?? null,
          isMotion: state.motion === true,
        });
        this.of.set(uuid, all);
      }
    };
    for (const [i, at] of told.times90k.entries()) {
      const id = told.signalIds[i];
      end(id, at);
      open.set(id, { start: at, state: told.states[i] });
    }
    for (const id of open.keys()) end(id, to);
    for (const all of this.of.values()) all.sort((a, b) => a.start - b.start);
  }

  /** @param {string} uuid */
  list(uuid) {
    return this.of.get(uuid) ?? [];
  }
}
