// What the recorder last said of itself, asked for again and again while somebody looks.

import { Refusal, get, setCsrf } from "/ui/api.js";
import { TICKS_PER_MS, setZone } from "/ui/time.js";

/**
 * @typedef {{startTime90k: number, endTime90k: number, totalDuration90k: number}} Day
 * @typedef {{id: number, sampleDirId: number, record: boolean, recording: boolean, state: string, video: string | null,
 *   gap: {cause: string, detail: string, startTime90k: number} | null, retainBytes: number | null,
 *   retainDays: number | null, minStartTime90k: number | null, maxEndTime90k: number | null,
 *   totalDuration90k: number, totalSampleFileBytes: number, inProgressBytes: number, inProgressDuration90k: number,
 *   lostPackets: number, lastFrameTime90k: number | null, lastError: {time90k: number, message: string} | null,
 *   days?: Record<string, Day>}} Stream
 * @typedef {{uuid: string, id: number, shortName: string, description: string, removed: boolean,
 *   streams: {main?: Stream, sub?: Stream}}} Camera
 * @typedef {{name: string, id: number, session: {csrf: string} | null, preferences?: any}} User
 * @typedef {{now90k: number, timeZoneName: string, serverVersion: string, clockTrusted: boolean, stopping: boolean,
 *   databaseTrouble: string | null, cameras: Camera[], sampleDirs: any[], signals?: any[], signalTypes?: any[], permissions: Record<string, boolean>,
 *   user?: User | null, reactor: any}} State
 */

const PERIOD_MS = 3000;
const HIDDEN_PERIOD_MS = 60000;

export const recorder = {
  /** @type {State | null} */
  state: null,
  /** Why there is no newer state. @type {Refusal | null} */
  failure: null,
};

/** The recorder's clock less this machine's `performance.now()`, in 1/90,000 s. */
let ahead90k = 0;

/** The recorder's time now, in 1/90,000 s. */
export const now90k = () => Math.round(performance.now() * TICKS_PER_MS + ahead90k);

/** @type {Set<() => void>} */
const listeners = new Set();

/**
 * Calls `listener` after each answer, and now if there was one. Returns how to end that.
 * @param {() => void} listener
 */
export function watch(listener) {
  listeners.add(listener);
  if (recorder.state) listener();
  return () => {
    listeners.delete(listener);
  };
}

let timer = 0;

/** The asking that began last: an older one's answer, come late, is not taken. @type {Promise<void>} */
let newest = Promise.resolve();
let turns = 0;
/** Something under way changes who looks: nothing is asked meanwhile. */
let isAlone = false;

/** Asks now, and from then on every few seconds. */
export function refresh() {
  clearTimeout(timer);
  if (!isAlone) newest = askNow(++turns);
  return newest;
}

/** @param {number} turn @returns {Promise<void>} */
async function askNow(turn) {
  let state = null;
  let failure = null;
  const before = performance.now();
  try {
    state = await get("/api/");
  } catch (e) {
    failure = e instanceof Refusal ? e : new Refusal(0, "");
  }
  if (turn !== turns) return newest;
  recorder.failure = failure;
  if (state) {
    // Half of what it took was the way back.
    ahead90k = state.now90k - ((before + performance.now()) / 2) * TICKS_PER_MS;
    state.cameras.sort((/** @type {Camera} */ a, /** @type {Camera} */ b) => a.id - b.id);
    recorder.state = state;
    setZone(state.timeZoneName);
    setCsrf(state.user?.session?.csrf ?? null);
  } else if (failure?.status === 401) {
    recorder.state = null;
  }
  timer = setTimeout(refresh, document.hidden ? HIDDEN_PERIOD_MS : PERIOD_MS);
  for (const listener of [...listeners]) listener();
}

/**
 * Does what changes who looks, such as signing in: what is told before it is done is not taken. Asks thereafter.
 * @param {() => Promise<void>} work
 */
export async function alone(work) {
  clearTimeout(timer);
  turns += 1;
  isAlone = true;
  const done = work();
  newest = done.catch(() => {});
  try {
    await done;
  } finally {
    isAlone = false;
    await refresh();
  }
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});

/** @param {string} permission */
export const may = (permission) => recorder.state?.permissions[permission] === true;

/**
 * Cameras that are there or have something to show, by name of the stream to prefer.
 * @param {Camera} camera
 * @param {"main" | "sub"} wanted
 * @returns {"main" | "sub" | null}
 */
export function streamOf(camera, wanted) {
  const other = wanted === "main" ? "sub" : "main";
  if (camera.streams[wanted]) return wanted;
  return camera.streams[other] ? other : null;
}
