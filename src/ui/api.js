// The one module that speaks to the recorder's HTTP interface (guide/api.md).

import { S } from "/ui/strings.js";

/** How long an answer may take, in milliseconds. */
const PATIENCE_MS = 20000;

/** Shown to be this page's, with each change: `/api/` tells it. */
let csrf = /** @type {string | null} */ (null);

/** @param {string | null} value */
export function setCsrf(value) {
  csrf = value;
}

/** The recorder did not do what it was asked. `message` is a sentence for people. */
export class Refusal extends Error {
  /**
   * @param {number} status HTTP's, or 0 if there was no answer
   * @param {string} sentence what the recorder says
   * @param {boolean} [setup] it has no administrator yet
   * @param {number} [wait] seconds to wait before asking again
   */
  constructor(status, sentence, setup = false, wait = 0) {
    super(S.refusal(status, sentence, wait));
    this.status = status;
    this.setup = setup;
    this.wait = wait;
  }
}

/**
 * @param {Response} reply
 * @returns {Promise<Refusal>}
 */
async function refusal(reply) {
  const wait = Number(reply.headers.get("Retry-After")) || 0;
  if (reply.headers.get("Content-Type") === "application/json") {
    const { message, setup } = await reply.json();
    return new Refusal(reply.status, message ?? "", setup === true, wait);
  }
  return new Refusal(reply.status, (await reply.text()).trim(), false, wait);
}

/**
 * Asks for something; throws a Refusal unless it is given.
 * @param {string} path
 * @param {RequestInit} [options]
 */
export async function ask(path, options = {}) {
  let reply;
  try {
    reply = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  } catch (e) {
    if (/** @type {Error} */ (e).name === "AbortError") throw e;
    throw new Refusal(0, "");
  }
  if (!reply.ok) throw await refusal(reply);
  return reply;
}

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function get(path, signal) {
  return (await ask(path, signal ? { signal } : {})).json();
}

/**
 * Asks for a change: the answer's JSON, if it has any.
 * @param {"POST" | "PUT" | "PATCH" | "DELETE"} method
 * @param {string} path
 * @param {object} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function change(method, path, body = {}, signal = AbortSignal.timeout(PATIENCE_MS)) {
  const whole = csrf === null ? body : { csrf, ...body };
  const reply = await ask(path, { method, signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(whole) });
  return reply.headers.get("Content-Type") === "application/json" ? reply.json() : null;
}

/**
 * Sends a file, with how much of it has gone: the answer's JSON, if it has any.
 * @param {string} path
 * @param {Blob} file
 * @param {{headers?: Record<string, string>, onProgress?: (sent: number, all: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<any>}
 */
export function send(path, file, { headers = {}, onProgress, signal } = {}) {
  return new Promise((ok, bad) => {
    // The one way in which browsers tell how far they are.
    const request = new XMLHttpRequest();
    request.open("PUT", path);
    if (csrf !== null) request.setRequestHeader("X-CSRF-Token", csrf);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (e) => onProgress?.(e.loaded, e.total);
    signal?.addEventListener("abort", () => request.abort());
    request.onerror = request.onabort = () => bad(new Refusal(0, ""));
    request.onload = () => {
      const isJson = request.getResponseHeader("Content-Type") === "application/json";
      if (request.status < 300) return ok(isJson ? JSON.parse(request.responseText) : null);
      const wait = Number(request.getResponseHeader("Retry-After")) || 0;
      bad(
        new Refusal(
          request.status,
          isJson ? (JSON.parse(request.responseText).message ?? "") : request.responseText.trim(),
          false,
          wait,
        ),
      );
    };
    request.send(file);
  });
}

/**
 * Asks for a file that is made of what is sent, and hands it to whoever looks at the page.
 * @param {string} path
 * @param {object} body
 * @param {string} name used if the recorder gives it none
 */
export async function fetchFile(path, body, name) {
  const whole = csrf === null ? body : { csrf, ...body };
  const reply = await ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(whole) });
  const named = /filename="([^"]+)"/.exec(reply.headers.get("Content-Disposition") ?? "")?.[1] ?? name;
  return { blob: await reply.blob(), name: named };
}

/**
 * A path with parameters; those that are `null` or `undefined` are left out.
 * @param {string} path
 * @param {Record<string, string | number | boolean | null | undefined>} parameters
 */
export function url(path, parameters) {
  const all = Object.entries(parameters).filter(([, v]) => v !== null && v !== undefined);
  return all.length ? `${path}?${new URLSearchParams(all.map(([k, v]) => [k, String(v)]))}` : path;
}

/**
 * The path of one of a camera's streams.
 * @param {string} uuid
 * @param {"main" | "sub"} kind
 */
export const streamPath = (uuid, kind) => `/api/cameras/${uuid}/${kind}`;
