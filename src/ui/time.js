// Times in the recorder's zone, with its clock changes. Times are in 1/90,000 s since 1970 (UTC).

export const TICKS_PER_SECOND = 90000;
export const TICKS_PER_MS = 90;
export const MINUTE = 60 * TICKS_PER_SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** @typedef {{year: number, month: number, day: number, hour: number, minute: number, second: number, ms: number}} Civil */

/** @type {string | undefined} */
let zone = "UTC";
/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {string} name as IANA has it */
export function setZone(name) {
  if (name === zone) return;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    zone = name;
  } catch {
    // This browser does not know it: better UTC than a wrong guess.
    zone = "UTC";
  }
  formats.clear();
}

export const zoneName = () => zone ?? "UTC";

/**
 * @param {Intl.DateTimeFormatOptions} options
 * @param {string} [locale]
 */
function format(options, locale) {
  const key = JSON.stringify([locale, options]);
  let found = formats.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat(locale, { ...options, timeZone: zone });
    formats.set(key, found);
  }
  return found;
}

/** @param {number} t */
const dateOf = (t) => new Date(Math.floor(t / TICKS_PER_MS));

/**
 * What calendar and clock show.
 * @param {number} t
 * @returns {Civil}
 */
export function civil(t) {
  const options = /** @type {const} */ ({
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  const date = dateOf(t);
  /** @type {any} */
  const c = { ms: ((date.getTime() % 1000) + 1000) % 1000 };
  for (const { type, value } of format(options, "en-US").formatToParts(date)) {
    if (type !== "literal") c[type] = Number(value);
  }
  return c;
}

/**
 * How far the zone's clocks are ahead of UTC, in milliseconds.
 * @param {number} ms since 1970
 */
function offsetMs(ms) {
  const c = civil(ms * TICKS_PER_MS);
  return Date.UTC(c.year, c.month - 1, c.day, c.hour, c.minute, c.second, c.ms) - ms;
}

/**
 * When calendar and clock show this. Of two such times the first; of none, as if the clock had not been
 * put forward. Values out of range carry over, as the 32nd does.
 * @param {number} year
 * @param {number} month from 1
 * @param {number} day
 */
export function fromCivil(year, month, day, hour = 0, minute = 0, second = 0, ms = 0) {
  const as = Date.UTC(year, month - 1, day, hour, minute, second, ms);
  // A day before and after a change both offsets are known.
  const before = as - offsetMs(as - 86400000);
  const after = as - offsetMs(as + 86400000);
  if (before === after || before + offsetMs(before) === as) {
    return before * TICKS_PER_MS;
  }
  return (after + offsetMs(after) === as ? after : before) * TICKS_PER_MS;
}

/** The midnight at or before. @param {number} t */
export function startOfDay(t) {
  const c = civil(t);
  return fromCivil(c.year, c.month, c.day);
}

/**
 * The midnight `n` days later.
 * @param {number} t
 * @param {number} n
 */
export function addDays(t, n) {
  const c = civil(t);
  return fromCivil(c.year, c.month, c.day + n);
}

/** "2026-11-23". @param {number} t */
export function isoDate(t) {
  const c = civil(t);
  return `${c.year}-${two(c.month)}-${two(c.day)}`;
}

/** @param {number} n */
const two = (n) => String(n).padStart(2, "0");

/** "14:05:09", with three more digits if wanted. @param {number} t */
export function clock(t, withMs = false) {
  const c = civil(t);
  return `${two(c.hour)}:${two(c.minute)}:${two(c.second)}${withMs ? `.${String(c.ms).padStart(3, "0")}` : ""}`;
}

/** "14:05". @param {number} t */
export const hourMinute = (t) => clock(t).slice(0, 5);

/** "Mon, 23 Nov 2026". @param {number} t */
export const longDate = (t) => format({ weekday: "short", day: "numeric", month: "short", year: "numeric" }).format(dateOf(t));

/** "23 Nov". @param {number} t */
export const shortDate = (t) => format({ day: "numeric", month: "short" }).format(dateOf(t));

/** "November 2026". @param {number} t */
export const monthName = (t) => format({ month: "long", year: "numeric" }).format(dateOf(t));

/** "23 Nov 2026". @param {number} t */
export const date = (t) => format({ day: "numeric", month: "short", year: "numeric" }).format(dateOf(t));

/** "23 Nov 2026, 14:05:09". @param {number} t */
export const dateTime = (t) => `${format({ day: "numeric", month: "short", year: "numeric" }).format(dateOf(t))}, ${clock(t)}`;

/** "EST", "MEZ", "UTC". @param {number} t */
export const zoneAbbreviation = (t) =>
  format({ timeZoneName: "short" })
    .formatToParts(dateOf(t))
    .find((p) => p.type === "timeZoneName")?.value ?? "";

/** "2026-11-23T14:05:09.120-05:00": a link's moment, good in every zone. @param {number} t */
export function iso(t) {
  const ms = Math.floor(t / TICKS_PER_MS);
  const offset = Math.round(offsetMs(ms) / 60000);
  const sign = offset < 0 ? "-" : "+";
  const o = Math.abs(offset);
  return `${isoDate(t)}T${clock(t, true)}${sign}${two(Math.floor(o / 60))}:${two(o % 60)}`;
}

/**
 * Reads `iso`, or the same without an offset, in the recorder's zone; `null` if it is neither.
 * @param {string} text
 */
export function parse(text) {
  const m = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(text.trim());
  if (!m) return null;
  if (m[8]) {
    const ms = Date.parse(text.trim());
    return Number.isNaN(ms) ? null : ms * TICKS_PER_MS;
  }
  const [year, month, day, hour, minute, second] = m.slice(1, 7).map((x) => Number(x ?? 0));
  return fromCivil(year, month, day, hour, minute, second, Number((m[7] ?? "0").padEnd(3, "0")));
}

/** As an `<input type="datetime-local" step="1">` has it. @param {number} t */
export const inputValue = (t) => `${isoDate(t)}T${clock(t)}`;
