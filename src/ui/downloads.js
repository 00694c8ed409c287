// Files on their way into this browser, with how far each has come; whoever waits may look at other pages meanwhile.

import { button, h, say } from "/ui/dom.js";
import { bytes } from "/ui/format.js";
import { S } from "/ui/strings.js";

/** Up to so many bytes are gathered here, so that their progress shows; more than that the browser saves as it comes. */
const MOST = 600e6;
/** Pieces are handed to the browser as they come to this, which may put them on its disk. */
const PIECE = 8e6;
/** A finished one is told for so long, in milliseconds. */
const DONE_MS = 12000;
/** A connection that broke is tried again by itself so often, each time after this long. */
const TRIES = 5;
const RETRY_MS = 2000;

/** @typedef {{name: string, link: string, size: number}} File */

const tray = h("section", { class: "tray", "aria-label": S.export.downloads, hidden: true });
document.body.append(tray);

/** One after the other: several at once are no faster. */
let before = Promise.resolve();

/** @param {string} name @param {string} link */
const save = (name, link) => h("a", { href: link, download: name }).click();

/** Begins to download a file, after those that are under way. @param {File} file */
export function download(file) {
  const x = S.export;
  const abort = new AbortController();
  const bar = h("progress", { max: Math.max(1, file.size), "aria-label": file.name });
  const status = h("span", { class: "hint", role: "status" }, x.waits);
  const cancel = button("close", x.cancel(file.name), () => (abort.abort(), remove()));
  const again = h("button", { type: "button", class: "plain", hidden: true }, x.again);
  const element = h(
    "div",
    { class: "download" },
    h("div", { class: "card-head" }, h("strong", {}, file.name), cancel),
    bar,
    h("div", { class: "card-head" }, status, again),
  );
  const remove = () => {
    element.remove();
    tray.hidden = !tray.hasChildNodes();
  };
  tray.append(element);
  tray.hidden = false;
  if (file.size > MOST) {
    save(file.name, file.link);
    bar.hidden = true;
    say(status, x.byBrowser);
    setTimeout(remove, DONE_MS);
    return;
  }
  const state = { parts: /** @type {BlobPart[]} */ ([]), got: 0, etag: "" };
  const run = async () => {
    again.hidden = true;
    for (let left = TRIES; ; left -= 1) {
      try {
        await fetchRest(file, state, abort.signal, (got, all) => {
          bar.max = all;
          bar.value = got;
          say(status, x.progress(bytes(got), bytes(all)));
        });
        break;
      } catch (e) {
        if (abort.signal.aborted) return;
        if (left === 0 || /** @type {any} */ (e).isFinal) {
          say(status, `${/** @type {Error} */ (e).message} ${x.failed}`);
          again.hidden = false;
          return;
        }
        say(status, x.interrupted);
        await new Promise((ok) => setTimeout(ok, RETRY_MS));
      }
    }
    const link = URL.createObjectURL(new Blob(state.parts, { type: "video/mp4" }));
    state.parts = [];
    save(file.name, link);
    say(status, x.saved(bytes(state.got)));
    setTimeout(() => {
      URL.revokeObjectURL(link);
      remove();
    }, DONE_MS);
  };
  again.onclick = run;
  before = before.then(() => (abort.signal.aborted ? undefined : run()));
}

/**
 * Fetches what is not there yet: after an interruption from where it broke, if the file is still the same.
 * @param {File} file
 * @param {{parts: BlobPart[], got: number, etag: string}} state
 * @param {AbortSignal} signal
 * @param {(got: number, all: number) => void} onProgress
 */
async function fetchRest(file, state, signal, onProgress) {
  /** @type {Record<string, string>} */
  const headers = state.got > 0 && state.etag ? { Range: `bytes=${state.got}-`, "If-Range": state.etag } : {};
  const reply = await fetch(file.link, { signal, headers });
  if (!reply.ok || !reply.body) {
    throw Object.assign(new Error(S.refusal(reply.status, (await reply.text()).trim(), 0)), { isFinal: reply.status < 500 });
  }
  if (reply.status !== 206) {
    state.parts = [];
    state.got = 0;
  }
  state.etag = reply.headers.get("ETag") ?? "";
  const all = state.got + (Number(reply.headers.get("Content-Length")) || file.size);
  const reader = reply.body.getReader();
  /** @type {Uint8Array<ArrayBuffer>[]} */
  let pieces = [];
  let held = 0;
  const put = () => {
    if (held) state.parts.push(new Blob(pieces));
    [pieces, held] = [[], 0];
  };
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      pieces.push(/** @type {Uint8Array<ArrayBuffer>} */ (value));
      held += value.length;
      state.got += value.length;
      if (held >= PIECE) put();
      onProgress(state.got, all);
    }
  } finally {
    put();
  }
  if (state.got < all) throw new Error(S.refusal(0, "", 0));
}
