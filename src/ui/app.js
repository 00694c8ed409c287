// The shell: navigation, which page is shown, and what is wrong with the recorder as a whole.

import { change } from "/ui/api.js";
import { h, icon, renew, say } from "/ui/dom.js";
import { may, recorder, refresh, watch } from "/ui/state.js";
import { S } from "/ui/strings.js";

/**
 * A page's part of the shell. `show` fills `root` and returns what is called when another page takes its
 * place; `parameters` are those of the address. `moved` gets them when they change while it is shown.
 * @typedef {{show: (root: HTMLElement, parameters: URLSearchParams) => Promise<() => void> | (() => void),
 *   moved?: (parameters: URLSearchParams) => boolean}} Page
 */

/** What loads each page: only what is looked at is fetched. @type {Record<string, () => Promise<Page>>} */
const PAGES = {
  live: () => import("/ui/live.js"),
  timeline: () => import("/ui/timeline.js"),
  cameras: () => import("/ui/cameras.js"),
  storage: () => import("/ui/storage.js"),
  users: () => import("/ui/users.js"),
  system: () => import("/ui/system.js"),
  log: () => import("/ui/log.js"),
  segments: () => import("/ui/segments.js"),
  welcome: () => import("/ui/welcome.js"),
};
const TABS = /** @type {const} */ (["live", "timeline", "cameras", "storage", "users", "system"]);
/** Whose tab is marked while another page is shown. @type {Record<string, string>} */
const WITHIN = { log: "system", segments: "timeline" };

const tabs = TABS.map((name) => h("a", { href: `#${name}` }, icon(name), h("span", {}, S.tabs[name])));
const who = h("div", { class: "who" });
const banner = h("div", { class: "banner", role: "alert", hidden: true });
const main = h("main", { id: "main", tabIndex: -1 });
const nav = h(
  "nav",
  { class: "tabs", "aria-label": S.navigation },
  h(
    "a",
    { class: "mark", href: "#live", "aria-label": S.name },
    h("img", { src: "/favicon.ico", alt: "", width: 32, height: 32 }),
  ),
  tabs,
  who,
);
/** The address stays: what is behind the # is a page. @param {Event} e */
function skip(e) {
  e.preventDefault();
  main.focus();
}
document.body.append(
  h("a", { class: "skip", href: "#main", onclick: skip }, S.skip),
  nav,
  h("div", { class: "column" }, banner, main),
);

/** @type {{name: string, page: Page | null, end: () => void}} */
let shown = { name: "", page: null, end: () => {} };

/** The page that the address names, and its parameters. */
function wanted() {
  const [name, query] = location.hash.slice(1).split("?", 2);
  // A recorder without a camera has nothing to show yet, and much to be told.
  const isNew = name === "" && may("configure") && may("administer") && recorder.state?.cameras.length === 0;
  const first = isNew ? "welcome" : "live";
  return { name: Object.hasOwn(PAGES, name) ? name : first, parameters: new URLSearchParams(query) };
}

/** How many times another page was asked for: one that has loaded too late is not shown. */
let turns = 0;

/** @param {string} name @param {() => Promise<Page>} load @param {URLSearchParams} parameters */
async function turnTo(name, load, parameters) {
  const turn = ++turns;
  const isFirst = shown.name === "";
  shown.end();
  shown = { name, page: null, end: () => {} };
  main.replaceChildren();
  main.className = name;
  for (const [i, tab] of tabs.entries()) {
    if (TABS[i] === (WITHIN[name] ?? name)) {
      tab.setAttribute("aria-current", "page");
    } else {
      tab.removeAttribute("aria-current");
    }
  }
  try {
    const page = await load();
    if (turn !== turns) return;
    const end = await page.show(main, parameters);
    if (turn !== turns) return end();
    shown = { name, page, end };
  } catch (e) {
    console.error(e);
    main.replaceChildren(h("p", { class: "trouble" }, S.refusal(0, "", 0)));
  }
  document.title = `${S.titles[name] ?? S.sign.in} – ${S.name}`;
  // Who uses a keyboard or a screen reader goes on where the page begins.
  if (!isFirst) main.focus({ preventScroll: true });
}

/** The version that these pages are of. @type {string | null} */
let version = null;

function follow() {
  const failure = recorder.failure;
  if (failure?.status === 401) {
    const name = failure.setup ? "setup" : "login";
    if (shown.name !== name) {
      turnTo(name, () => import("/ui/signin.js"), new URLSearchParams({ setup: String(failure.setup) }));
    }
    return;
  }
  if (!recorder.state) return;
  const { name, parameters } = wanted();
  // A recorder of another version has other pages: they come with the next turn.
  if (version !== null && version !== recorder.state.serverVersion && shown.name !== "" && shown.name !== name) {
    return location.reload();
  }
  version = recorder.state.serverVersion;
  if (shown.name === name && (shown.page?.moved?.(parameters) ?? !shown.page)) {
    return;
  }
  turnTo(name, PAGES[name], parameters);
}

function troubles() {
  const { state, failure } = recorder;
  if (failure && failure.status !== 401) {
    return [state ? `${failure.message} ${S.stale}` : failure.message];
  }
  if (!state) return [];
  const all = [];
  if (!state.clockTrusted) all.push(S.clockUntrusted);
  if (state.databaseTrouble) all.push(S.databaseTrouble(state.databaseTrouble));
  if (state.stopping) all.push(S.stopping);
  for (const disk of state.sampleDirs) {
    if (!disk.ready) {
      all.push(S.diskTrouble(disk.path, disk.trouble ?? S.away));
    }
  }
  return all;
}

let toldUser = "";

function tellUser() {
  const { state } = recorder;
  const user = state?.user;
  const key = state ? JSON.stringify([user?.name, user?.session]) : "";
  if (key === toldUser) return;
  toldUser = key;
  if (!state) return who.replaceChildren();
  if (!user) {
    renew(
      who,
      h(
        "button",
        { type: "button", class: "plain", onclick: () => turnTo("login", () => import("/ui/signin.js"), new URLSearchParams()) },
        S.sign.in,
      ),
    );
  } else {
    renew(
      who,
      h("a", { href: "#users" }, user.name),
      user.session &&
        h(
          "button",
          { type: "button", class: "plain bare", title: S.sign.out, "aria-label": S.sign.out, onclick: signOut },
          icon("leave"),
        ),
    );
  }
}

async function signOut() {
  try {
    await change("POST", "/api/logout");
  } catch {
    say(banner, S.sign.failedOut);
    banner.hidden = false;
    return;
  }
  shown.end();
  shown = { name: "out", page: null, end: () => {} };
  main.replaceChildren();
  await refresh();
}

watch(() => {
  nav.classList.toggle("closed", !recorder.state);
  const bad = troubles();
  say(banner, bad.join(" "));
  banner.hidden = bad.length === 0;
  tellUser();
  if (shown.name === "" || shown.name === "out" || recorder.failure?.status === 401 || ["login", "setup"].includes(shown.name)) {
    signedIn();
  }
});

/** Somebody may have signed in, here or elsewhere. */
function signedIn() {
  // Who chose to sign in, where visitors see something too, is not interrupted.
  if (shown.name === "login" && recorder.state && !recorder.state.user) return;
  follow();
}

addEventListener("hashchange", follow);
// The page that will most likely be shown is on its way while the recorder is asked who looks.
PAGES[wanted().name]().catch(() => {});
await refresh();
