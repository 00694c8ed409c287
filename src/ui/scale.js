// The span of time that the strips show, and where its ruler has marks.

import {
  DAY,
  HOUR,
  MINUTE,
  TICKS_PER_SECOND,
  addDays,
  civil,
  fromCivil,
  hourMinute,
  clock,
  shortDate,
  startOfDay,
} from "/ui/time.js";

/** The shortest and longest span that can be shown, in 1/90,000 s. */
const SHORTEST = 4 * TICKS_PER_SECOND;
const LONGEST = 12 * 366 * DAY;
/** Marks are at least so far apart, in pixels. */
const APART = 76;

export class Scale {
  /** @param {number} start @param {number} end */
  constructor(start, end) {
    this.start = start;
    this.end = end;
  }

  get length() {
    return this.end - this.start;
  }

  /** Where a time is, from 0 to `width`. @param {number} t @param {number} width */
  x(t, width) {
    return ((t - this.start) / this.length) * width;
  }

  /** @param {number} x @param {number} width */
  time(x, width) {
    return Math.round(this.start + (x / width) * this.length);
  }

  /** The same `factor` times as long, with `at` where it was. @param {number} at @param {number} factor */
  zoomed(at, factor) {
    const length = Math.min(LONGEST, Math.max(SHORTEST, this.length * factor));
    const start = Math.round(at - (at - this.start) * (length / this.length));
    return new Scale(start, start + Math.round(length));
  }

  /** @param {number} by */
  moved(by) {
    return new Scale(Math.round(this.start + by), Math.round(this.end + by));
  }

  /** So long, around a time. @param {number} length @param {number} at */
  static around(length, at) {
    return new Scale(Math.round(at - length / 2), Math.round(at + length / 2));
  }

  /** @param {number} t */
  has(t) {
    return t >= this.start && t < this.end;
  }
}

const S = TICKS_PER_SECOND;
/** Steps that divide a minute, an hour, a day. */
const STEPS = [S, 2 * S, 5 * S, 10 * S, 15 * S, 30 * S, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE];
/** Hours by what the clock shows: after a clock change they are not so far apart as they say. */
const HOURS = [1, 2, 3, 6, 12];
const DAYS = [1, 2, 7];
const MONTHS = [1, 3, 6, 12, 24];

/**
 * The ruler's marks: when, what it says, and whether a day (month, year) begins.
 * @param {Scale} scale
 * @param {number} width
 * @returns {{t: number, text: string, isMajor: boolean}[]}
 */
export function marks(scale, width) {
  const least = (scale.length / width) * APART;
  const step = STEPS.find((s) => s >= least);
  if (step) return steps(scale, step);
  const hours = HOURS.find((n) => n * HOUR >= least);
  if (hours) {
    return steps(scale, HOUR).filter((m) => civil(m.t).hour % hours === 0);
  }
  const days = DAYS.find((n) => n * DAY >= least);
  if (days) return ofDays(scale, days);
  return ofMonths(scale, MONTHS.find((n) => n * 28 * DAY >= least) ?? 60);
}

/** @param {Scale} scale @param {number} step at most an hour */
function steps(scale, step) {
  const all = [];
  // From the full hour: some zones are half an hour off UTC's.
  const c = civil(scale.start);
  let t = fromCivil(c.year, c.month, c.day, c.hour);
  if (t > scale.start) t -= HOUR;
  t += Math.max(0, Math.floor((scale.start - t) / step)) * step;
  for (; t < scale.end; t += step) {
    const at = civil(t);
    const isMajor = at.hour === 0 && at.minute === 0 && at.second === 0;
    const text = isMajor ? shortDate(t) : step < MINUTE ? clock(t) : hourMinute(t);
    all.push({ t, text, isMajor });
  }
  return all;
}

/** @param {Scale} scale @param {number} n */
function ofDays(scale, n) {
  const all = [];
  for (let t = startOfDay(scale.start); t < scale.end; t = addDays(t, 1)) {
    const { day } = civil(t);
    if ((day - 1) % n === 0 && (n === 1 || day < 30)) {
      all.push({ t, text: shortDate(t), isMajor: day === 1 });
    }
  }
  return all;
}

/** @param {Scale} scale @param {number} n */
function ofMonths(scale, n) {
  const all = [];
  const first = civil(scale.start);
  for (let i = 0; ; i += 1) {
    const month = first.month + i;
    const t = fromCivil(first.year, month, 1);
    if (t >= scale.end) return all;
    const c = civil(t);
    if ((c.year * 12 + c.month - 1) % n !== 0) continue;
    const isMajor = c.month === 1;
    const text = isMajor
      ? String(c.year)
      : new Intl.DateTimeFormat(undefined, { month: "short", timeZone: "UTC" }).format(Date.UTC(c.year, c.month - 1, 15));
    all.push({ t, text, isMajor });
  }
}
