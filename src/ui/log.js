// The newest lines of the log, as they come.

import { get, url } from "/ui/api.js";
import { h, icon, put, say } from "/ui/dom.js";
import { field, trouble } from "/ui/form.js";
import { recorder } from "/ui/state.js";
import { S } from "/ui/strings-manage.js";
import { clock, isoDate } from "/ui/time.js";

/** How long the recorder waits for a line, in seconds; and how often it is asked where it does not answer. */
const WAIT_S = 15;
const RETRY_MS = 3000;
/** Shown at most: older ones go. */
const MOST = 2000;
/** After a letter is typed it is asked this much later, in milliseconds. */
const PAUSE_MS = 250;

const LEVELS = /** @type {const} */ (["critical", "error", "warning", "notice", "info"]);

/**
 * @typedef {{number: number, time90k: number, level: string, event: string, camera: string | null, stream: string | null, message: string}} Line
 */

/** @param {Line} line */
function row(line) {
  const of = [line.camera, line.stream && (S.streams[line.stream] ?? line.stream)].filter(Boolean).join(" · ");
  return h(
    "li",
    { class: line.level },
    h("time", { title: isoDate(line.time90k) }, clock(line.time90k)),
    h("span", { class: "level" }, S.log.levels[line.level] ?? line.level),
    h("span", { class: "of" }, of),
    h("span", { class: "message" }, line.message),
  );
}

/** @param {HTMLElement} root @param {URLSearchParams} parameters */
export function show(root, parameters) {
  const x = S.log;
  const level = h(
    "select",
    {},
    LEVELS.map((l) => h("option", { value: l, selected: l === (parameters.get("level") ?? "notice") }, x.worse[l])),
  );
  const camera = h("select", {}, h("option", { value: "" }, x.all));
  put(
    camera,
    (recorder.state?.cameras ?? []).map((c) =>
      h("option", { value: c.shortName, selected: c.shortName === parameters.get("camera") }, c.shortName),
    ),
  );
  const text = h("input", { type: "search", value: parameters.get("text") ?? "", autocapitalize: "none", spellcheck: false });
  const follow = h(
    "button",
    { type: "button", class: "plain", "aria-pressed": "true", onclick: () => setFollowing(!isFollowing) },
    x.follow,
  );
  const list = h("ol", { class: "log-lines", tabIndex: 0, "aria-label": x.title });
  const status = h("p", { class: "hint", role: "status" });
  const wrong = trouble();
  root.append(
    h(
      "div",
      { class: "page-head" },
      h("h1", {}, x.title),
      h("div", { class: "tools" }, h("a", { class: "plain", href: "#system" }, icon("system"), S.tabs.system)),
    ),
    h("div", { class: "filters" }, field(x.level, level), field(x.camera, camera), field(x.text, text), follow),
    wrong.element,
    list,
    status,
  );
  let isFollowing = true;
  let isEnded = false;
  let turn = 0;
  let timer = 0;
  let abort = new AbortController();

  const setFollowing = (/** @type {boolean} */ on) => {
    isFollowing = on;
    follow.setAttribute("aria-pressed", String(on));
    if (on) toEnd();
  };
  const toEnd = () => {
    list.scrollTop = list.scrollHeight;
  };
  // Who reads further up is not carried away; whoever goes back to the end goes on.
  list.addEventListener("scroll", () => {
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    if (isAtEnd !== isFollowing) setFollowing(isAtEnd);
  });

  const read = async () => {
    const mine = ++turn;
    abort.abort();
    abort = new AbortController();
    list.replaceChildren();
    say(status, S.loading);
    let last = /** @type {number | null} */ (null);
    while (!isEnded && mine === turn) {
      const asked = {
        level: level.value,
        camera: camera.value || null,
        text: text.value || null,
        ...(last === null ? {} : { after: last, wait: WAIT_S }),
      };
      try {
        const told = await get(
          url("/api/log", asked),
          AbortSignal.any([abort.signal, AbortSignal.timeout((WAIT_S + 20) * 1000)]),
        );
        if (isEnded || mine !== turn) return;
        wrong.tell("");
        // It was started anew, and counts from the beginning.
        if (last !== null && told.last < last) return read();
        put(list, told.lines.map(row));
        while (list.children.length > MOST) list.firstElementChild?.remove();
        const isFirst = last === null;
        last = told.last;
        say(status, list.children.length === 0 ? x.nothing : isFirst && told.incomplete ? x.incomplete : "");
        if (isFollowing) toEnd();
      } catch (e) {
        if (isEnded || mine !== turn) return;
        wrong.tell(/** @type {Error} */ (e).message);
        await new Promise((ok) => setTimeout(ok, RETRY_MS));
        last = null;
        list.replaceChildren();
      }
    }
  };
  const changed = () => {
    clearTimeout(timer);
    timer = setTimeout(read, PAUSE_MS);
  };
  for (const input of [level, camera, text]) {
    input.addEventListener("input", changed);
  }
  read();
  return () => {
    isEnded = true;
    abort.abort();
    clearTimeout(timer);
  };
}
