// The machine, where the recorder came as a card image: how it fares, and what is under way on it.

import { get } from "/ui/api.js";
import { h, say } from "/ui/dom.js";
import { S } from "/ui/strings-manage.js";

/** How often a job is looked at, in milliseconds. */
const JOB_MS = 1000;

/**
 * @typedef {{value: any, from: "bootFile" | "page" | "default"}} Setting
 * @typedef {{id: number, what: string, state: "running" | "done" | "failed", step: string | null, message: string | null, percent: number | null}} Job
 * @typedef {{appliance: boolean, hostname: string, board: string | null, serial: string | null, version: string, uptimeSeconds: number | null,
 *   temperatureCelsius: number | null, underVoltage: boolean | null, clockSynchronized: boolean | null,
 *   cardWrites: {sinceBootBytes: number, bytesPerDay: number | null} | null,
 *   problems: {file: string, line: number | null, column: number | null, message: string}[],
 *   settings: Record<string, Setting>, slots: any, update: {state: string, version: string | null, message: string | null} | null,
 *   updateFiles: {file: string, version: string, sizeBytes: number}[], job: Job | null}} Machine
 */

/** How the machine fares, where it is an `appliance`; `null` for who may not know. @returns {Promise<Machine | null>} */
export async function readMachine() {
  try {
    return await get("/api/appliance");
  } catch (e) {
    const { status } = /** @type {import("/ui/api.js").Refusal} */ (e);
    // Who may not ask, and recorders that know nothing of it.
    if (status === 401 || status === 403 || status === 404) return null;
    throw e;
  }
}

/** Shows how far a job is, as long as it lasts. Fills `root`; ends with what became of it. @param {HTMLElement} root @param {Job} job */
export async function showJob(root, job) {
  const bar = h("progress", { "aria-label": S.machine.jobs[job.what] ?? job.what });
  const status = h("p", { class: "hint", role: "status" });
  root.replaceChildren(h("div", { class: "download" }, h("strong", {}, S.machine.jobs[job.what] ?? job.what), bar, status));
  let now = /** @type {Job | null} */ (job);
  while (now?.state === "running" && root.isConnected) {
    if (now.percent === null || now.percent === undefined) bar.removeAttribute("value");
    else [bar.max, bar.value] = [100, now.percent];
    say(status, now.step ?? now.message ?? "");
    await new Promise((ok) => setTimeout(ok, JOB_MS));
    // A moment without an answer is no end of it.
    now = await get("/api/appliance/job").then(
      (told) => told.job,
      () => now,
    );
  }
  root.replaceChildren(
    h("p", { class: now?.state === "failed" ? "trouble" : "well", role: "status" }, S.sentence(now?.message ?? now?.step ?? "")),
  );
  return now;
}
