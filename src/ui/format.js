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
  if (t < 10 * TICKS_PER_SECOND) {
    return `${(t / TICKS_PER_SECOND).toFixed(1)} s`;
  }
  if (s < 60) return `${s} s`;
  if (t < HOUR) return `${Math.floor(t / MINUTE)} min ${s % 60} s`;
  if (t < DAY) {
    return `${Math.floor(t / HOUR)} h ${Math.floor((t % HOUR) / MINUTE)} min`;
  }
  return `${Math.floor(t / DAY)} d ${Math.floor((t % DAY) / HOUR)} h`;
}

/** A rate in bits a second. @param {number} n */
export function bitRate(n) {
  if (n >= 999500) return `${(n / 1e6).toFixed(n >= 9.95e6 ? 0 : 1)} Mbit/s`;
  return `${Math.round(n / 1000)} kbit/s`;
}

/** A number of days, as exact as it is known. @param {number} n */
export function days(n) {
  if (n >= 730) return `${(n / 365).toFixed(1)} years`;
  if (n >= 10) return `${Math.round(n)} days`;
  if (n >= 2) return `${n.toFixed(1)} days`;
  return duration(n * DAY);
}

/** A share in per cent that never hides a small loss. @param {number} percent */
export function share(percent) {
  if (percent === 0) return "0 %";
  if (percent < 0.001) return "< 0.001 %";
  return `${percent.toFixed(percent < 0.1 ? 3 : percent < 10 ? 2 : 0)} %`;
}
