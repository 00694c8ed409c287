// Amounts for people.

import { DAY, HOUR, MINUTE, TICKS_PER_SECOND } from "/ui/time.js";

/** Bytes, in the decimal units that disks are sold in. @param {number} n */
export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (n >= 999.5 && unit < units.length - 1) {
    n /= 1000;
    unit += 1;
  }
  return `${unit === 0 || n >= 99.95 ? n.toFixed(0) : n.toFixed(1)} ${units[unit]}`;
}

/** A duration in 1/90,000 s. @param {number} ticks */
export function duration(ticks) {
  const t = Math.max(0, ticks);
  const s = Math.round(t / TICKS_PER_SECOND);
  if (t < 10 * TICKS_PER_SECOND) return `${(t / TICKS_PER_SECOND).toFixed(1)} s`;
  if (s < 60) return `${s} s`;
  if (t < HOUR) return `${Math.floor(t / MINUTE)} min ${s % 60} s`;
  if (t < DAY) return `${Math.floor(t / HOUR)} h ${Math.floor((t % HOUR) / MINUTE)} min`;
  return `${Math.floor(t / DAY)} d ${Math.floor((t % DAY) / HOUR)} h`;
}
