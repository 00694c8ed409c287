// How far back recordings will reach: what each stream takes in a day against what there is room for.

/**
 * What a stream takes and may keep. `bytesPerDay` is `null` while that is not known.
 * @typedef {{bytesPerDay: number | null, retainBytes: number | null, retainDays: number | null}} Wish
 */

/**
 * Fills in what a stream takes that has not recorded long enough to tell, from what it takes just now.
 * @template {{uuid: string, stream: string, bitRate: number | null, bytesPerDay: number | null}} T
 * @param {T[]} streams of `/api/retention`
 * @param {any[]} cameras of `/api/system`
 * @returns {T[]}
 */
export function withRates(streams, cameras) {
  return streams.map((s) => {
    if (s.bytesPerDay !== null) return s;
    const now = cameras.find((c) => c.uuid === s.uuid)?.streams[s.stream]?.bitsPerSecond;
    return now ? { ...s, bitRate: now, bytesPerDay: (now / 8) * 86400 } : s;
  });
}

/** How many days a stream's own limits allow it. @param {Wish} wish */
export function limitDays({ bytesPerDay, retainBytes, retainDays }) {
  const bytes = retainBytes === null || !bytesPerDay ? Infinity : retainBytes / bytesPerDay;
  return Math.min(bytes, retainDays ?? Infinity);
}

/**
 * How many days each stream of a disk will reach back; `null` while that is not known. When the disk is full the
 * oldest recording goes first, whichever stream it is of: all that have not reached their limits reach back equally.
 * @param {Wish[]} wishes of all that is recorded to one disk
 * @param {number} usableBytes
 * @returns {(number | null)[]}
 */
export function daysKept(wishes, usableBytes) {
  const known = wishes
    .filter((w) => w.bytesPerDay !== null && w.bytesPerDay > 0)
    .map((w) => ({ rate: w.bytesPerDay ?? 0, limit: limitDays(w) }))
    .sort((a, b) => a.limit - b.limit);
  let left = usableBytes;
  let rate = known.reduce((sum, w) => sum + w.rate, 0);
  let horizon = Infinity;
  for (const w of known) {
    // Those before it are at their limits; can all others go on to this one's?
    if (w.limit * rate > left) {
      horizon = left / rate;
      break;
    }
    left -= w.limit * w.rate;
    rate -= w.rate;
  }
  return wishes.map((w) => (w.bytesPerDay === null || w.bytesPerDay <= 0 ? null : Math.min(limitDays(w), horizon)));
}
