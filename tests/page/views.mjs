// Each view of the page, and how to get there.

import { pretend } from "./machine.mjs";
import { CAMERA_PASSWORD, CAMERA_USER, PATIENCE_MS, until } from "./recorder.mjs";

/** @typedef {import("puppeteer-core").Page} Page */

export const ADMINISTRATOR = { username: "admin", password: "correct horse battery" };

/** Somebody who asks the recorder without a browser. */
export class Client {
  /** @param {string} url */
  constructor(url) {
    this.url = url;
    this.cookie = "";
    this.csrf = "";
  }

  /** @param {string} method @param {string} path @param {any} [body] */
  async send(method, path, body) {
    const reply = await fetch(this.url + path, {
      method,
      headers: { cookie: this.cookie, ...(body ? { "content-type": "application/json" } : {}) },
      body: body ? JSON.stringify(this.csrf ? { csrf: this.csrf, ...body } : body) : undefined,
    });
    if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${await reply.text()}`);
    const cookie = reply.headers.get("set-cookie");
    if (cookie) this.cookie = cookie.split(";")[0];
    return reply;
  }

  /** @param {string} path @returns {Promise<any>} */
  async get(path) {
    return (await this.send("GET", path)).json();
  }

  /** @param {string} path @param {any} body @returns {Promise<any>} */
  async post(path, body) {
    const reply = await this.send("POST", path, body);
    return reply.headers.get("content-type") === "application/json" ? reply.json() : null;
  }
}

/** @param {import("./recorder.mjs").Recorder} recorder */
export async function administrator(recorder) {
  const client = new Client(recorder.url);
  // On a busy machine it may be asked to come back for its password.
  await until("the administrator to be made", () =>
    client.post("/api/setup", ADMINISTRATOR).then(
      () => true,
      (e) => {
        if (/ 503 /.test(e.message)) return false;
        throw e;
      },
    ),
  );
  client.csrf = (await client.get("/api/")).user.session.csrf;
  return client;
}

/**
 * Makes the administrator and the cameras.
 * @param {import("./recorder.mjs").Recorder} recorder
 * @param {import("./recorder.mjs").Camera[]} cameras
 */
export async function setUp(recorder, cameras) {
  const client = await administrator(recorder);
  for (const camera of cameras) {
    await client.post("/api/cameras/", {
      camera: {
        shortName: camera.name,
        username: CAMERA_USER,
        password: CAMERA_PASSWORD,
        streams: { main: { url: camera.url("main"), retainBytes: 1e9 }, sub: { url: camera.url("sub"), retainDays: 30 } },
      },
    });
  }
  return client;
}

/**
 * Signs the browser in with a client's session.
 * @param {Page} page @param {Client} client
 */
export async function signIn(page, client) {
  const [name, value] = client.cookie.split("=");
  await page.browserContext().setCookie({ name, value, domain: new URL(client.url).hostname, path: "/" });
}

/** @param {Page} page @param {string} url */
async function go(page, url) {
  // A change of what is behind the # alone loads nothing anew.
  await page.goto("about:blank");
  await page.goto(url);
}

/**
 * Types into a field in the place of what is there.
 * @param {Page} page @param {string} selector @param {string} text
 */
export async function fill(page, selector, text) {
  const input = await page.waitForSelector(selector, { visible: true });
  if (!input) throw new Error(`there is no ${selector}`);
  await input.evaluate((/** @type {any} */ e) => e.select());
  await page.keyboard.press("Backspace");
  await input.type(text);
}

/** @param {Page} page @param {string} selector */
export const textOf = (page, selector) =>
  page.evaluate((selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent).join(" "), selector);

/**
 * Waits until something says so.
 * @param {Page} page @param {string} selector @param {string | RegExp} words @param {number} [patienceMs]
 */
export async function says(page, selector, words, patienceMs) {
  let text = "";
  const look = async () => {
    text = await textOf(page, selector);
    return typeof words === "string" ? text.includes(words) : words.test(text);
  };
  await until(`${selector} to say ${words}`, look, patienceMs).catch((e) => {
    throw new Error(`${e.message}; it says: ${text.slice(0, 300)}`);
  });
}

/**
 * Presses a button or follows a link as a hand does: once it is seen, may be pressed, keeps its place, and nothing is
 * above it. What nobody could press is waited for, not pressed.
 * @param {Page} page
 * @param {string | RegExp} words its name
 * @param {string} [within] a selector of what it is in
 * @param {number} [patienceMs]
 */
export async function press(page, words, within = "body", patienceMs = PATIENCE_MS) {
  const isPattern = words instanceof RegExp;
  const look = async () => {
    const handle = await page.evaluateHandle(pressable, isPattern ? words.source : words, isPattern, within);
    const button = /** @type {import("puppeteer-core").ElementHandle<Element> | null} */ (handle.asElement());
    // It may be gone or hidden by now; then nothing was pressed.
    const missed = (/** @type {Error} */ e) => {
      if (/not clickable|detached|not an Element/.test(e.message)) return false;
      throw e;
    };
    return button?.click().then(() => true, missed);
  };
  await until(`something to press: ${words}`, look, patienceMs);
}

/** Runs in the page: what is named so and could be pressed now. @param {string} words @param {boolean} isPattern @param {string} within */
async function pressable(words, isPattern, within) {
  const isIt = (/** @type {Element} */ e) => {
    const name = (e.getAttribute("aria-label") ?? e.textContent ?? "").trim();
    return isPattern ? new RegExp(words).test(name) : name === words;
  };
  const button = [...document.querySelectorAll(`${within} :is(button, a)`)].find(
    (e) => isIt(e) && e.checkVisibility() && !(/** @type {HTMLButtonElement} */ (e).disabled),
  );
  if (!button) return null;
  button.scrollIntoView({ block: "nearest", behavior: "instant" });
  const place = () => {
    const { x, y, width, height } = button.getBoundingClientRect();
    return { x: x + width / 2, y: y + height / 2 };
  };
  const before = place();
  await new Promise((ok) => requestAnimationFrame(() => requestAnimationFrame(ok)));
  const { x, y } = place();
  const isStill = x === before.x && y === before.y;
  return isStill && button.contains(document.elementFromPoint(x, y)) ? button : null;
}

/** @typedef {{name: string, whole?: boolean, open: (page: Page, recorder: import("./recorder.mjs").Recorder, client: Client) => Promise<void>}} View */

/** @param {string} hash @param {string} selector @param {(page: Page) => Promise<any>} [more] */
const at =
  (hash, selector, more) => async (/** @type {any} */ page, /** @type {any} */ recorder, /** @type {Client} */ client) => {
    await signIn(page, client);
    await go(page, `${recorder.url}/#${hash}`);
    await page.waitForSelector(selector);
    await more?.(page);
  };

/** @param {Page} page */
const playing = (page) =>
  until("live pictures", () =>
    page.evaluate(() => {
      const all = [...document.querySelectorAll("video")].filter((v) => v.offsetParent);
      return all.length > 0 && all.every((v) => v.videoWidth > 0 && v.currentTime > 0);
    }),
  );

/** The time line a while ago, and a button of it. @param {string} [button] */
const timeline = (button) => async (/** @type {Page} */ page, /** @type {any} */ recorder, /** @type {Client} */ client) => {
  const { cameras, now90k } = await client.get("/api/");
  const t = new Date(now90k / 90 - 15000).toISOString();
  const all = cameras.map((/** @type {any} */ c) => c.uuid).join();
  await at(`timeline?cameras=${all}&t=${t}&span=120`, ".pane")(page, recorder, client);
  await until("the pictures of that time", () =>
    page.evaluate(() => [...document.querySelectorAll(".pane")].every((p) => (p.querySelector("video")?.readyState ?? 0) >= 2)),
  );
  if (!button) return;
  await press(page, button);
  await page.waitForSelector("dialog[open]");
  await until("what the dialog asks for", () =>
    page.evaluate(() => !/…/.test(document.querySelector("dialog [role=status]")?.textContent ?? "…")),
  );
};

/** A page with a dialog. @param {string} hash @param {string} selector @param {string | RegExp} words of its button */
const dialog = (hash, selector, words) =>
  at(hash, selector, async (page) => {
    await press(page, words, "main");
    await page.waitForSelector("dialog[open]");
  });

/** A page as an appliance has it. @param {string} hash @param {string} selector @param {string | RegExp} [words] of a button */
const appliance =
  (hash, selector, words) => async (/** @type {Page} */ page, /** @type {any} */ recorder, /** @type {Client} */ client) => {
    const { end } = await pretend(page);
    const view = words ? dialog(hash, selector, words) : at(hash, selector);
    await view(page, recorder, client).finally(end);
  };

/** @type {View[]} */
export const VIEWS = [
  {
    name: "signin",
    open: async (page, recorder) => {
      await page.browserContext().deleteCookie(...(await page.browserContext().cookies()));
      await go(page, recorder.url);
      await page.waitForSelector("#username");
    },
  },
  { name: "live", open: at("live", ".tile", playing) },
  {
    name: "live-one",
    open: async (page, recorder, client) => {
      const { cameras } = await client.get("/api/");
      await at(`live?camera=${cameras[0].uuid}`, ".tile", playing)(page, recorder, client);
    },
  },
  { name: "timeline", open: timeline() },
  { name: "calendar", open: timeline("Calendar") },
  { name: "export", open: timeline("Export") },
  { name: "cameras", whole: true, open: at("cameras", ".camera-card") },
  { name: "camera-add", open: dialog("cameras", ".camera-card", "Add a camera") },
  { name: "camera-change", open: dialog("cameras", ".camera-card", /^Change /) },
  { name: "camera-remove", open: dialog("cameras", ".camera-card", /^Remove /) },
  { name: "storage", whole: true, open: at("storage", ".disk-card") },
  { name: "keep", open: dialog("storage", ".disk-card", /^Change: /) },
  { name: "users", whole: true, open: at("users", ".card") },
  { name: "user-add", open: dialog("users", ".card", "Add a user") },
  { name: "token-add", open: dialog("users", ".card", "New token") },
  { name: "system", whole: true, open: at("system", ".card") },
  { name: "log", open: at("log?level=info", ".log-lines li") },
  {
    name: "segments",
    open: async (page, recorder, client) => {
      const { cameras } = await client.get("/api/");
      await at(`segments?camera=${cameras[0].uuid}`, "tbody tr")(page, recorder, client);
    },
  },
  { name: "appliance", whole: true, open: appliance("system", ".file") },
  { name: "appliance-settings", open: appliance("system", ".file", "Settings") },
  { name: "appliance-disks", whole: true, open: appliance("storage", "h3") },
  { name: "appliance-format", open: appliance("storage", "h3", /^Use for recordings/) },
  { name: "appliance-welcome", whole: true, open: appliance("welcome", "h3") },
  { name: "welcome-found", whole: true, open: appliance("welcome?step=cameras", ".found") },
  { name: "cameras-found", whole: true, open: appliance("cameras", ".found") },
  { name: "welcome", whole: true, open: at("welcome", ".steps") },
  { name: "welcome-cameras", whole: true, open: at("welcome?step=cameras", ".made li") },
  { name: "welcome-keep", whole: true, open: at("welcome?step=keep", "tbody tr") },
];
