// Signing in, and making the first administrator. The browser's own password keeper is of use here.

import { Refusal, ask } from "/ui/api.js";
import { h, say } from "/ui/dom.js";
import { alone, recorder } from "/ui/state.js";
import { stepsView } from "/ui/steps.js";
import { S } from "/ui/strings.js";

/** Working on a password takes a small machine seconds, and more while it starts. */
const PATIENCE_MS = 60000;
/** So often is somebody tried again whom the recorder asked to come back, after at most so long each. */
const RETURNS = 4;
const LONGEST_WAIT_S = 5;

/** @param {"setup" | "login"} what @param {{username: string, password: string}} who */
async function enter(what, who) {
  for (let left = RETURNS; ; left -= 1) {
    try {
      await ask(`/api/${what}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(who),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      return;
    } catch (e) {
      const comesBack = e instanceof Refusal && e.status === 503 && left > 0;
      if (!comesBack) throw e;
      await new Promise((ok) => setTimeout(ok, Math.min(e.wait || 1, LONGEST_WAIT_S) * 1000));
    }
  }
}

/** Makes the administrator, who is signed in by that. @param {{username: string, password: string}} who */
async function makeFirst(who) {
  try {
    await enter("setup", who);
  } catch (e) {
    // An answer that was lost on its way does not tell whether it was done: if it was, these are good now.
    if (!(e instanceof Refusal) || e.status !== 0) throw e;
    await enter("login", who).catch(() => {
      throw e;
    });
  }
}

/**
 * @param {HTMLElement} root
 * @param {URLSearchParams} parameters `setup=true` if there is nobody yet who may sign in
 */
export function show(root, parameters) {
  const isFirst = parameters.get("setup") === "true";
  const text = { autocapitalize: "none", spellcheck: false, required: true };
  const secret = { ...text, type: "password", maxLength: 256, autocomplete: isFirst ? "new-password" : "current-password" };
  const username = h("input", {
    ...text,
    id: "username",
    name: "username",
    autocomplete: "username",
    maxLength: 64,
    value: isFirst ? "admin" : "",
  });
  const password = h("input", { ...secret, id: "password", name: "password", "aria-describedby": "hint" });
  const again = isFirst ? h("input", { ...secret, id: "again" }) : null;
  if (isFirst) password.minLength = 8;
  const trouble = h("p", { class: "trouble", role: "alert", hidden: true });
  const send = h("button", { id: "send" }, isFirst ? S.sign.make : S.sign.in);

  /** @param {string} sentence */
  const tell = (sentence) => {
    say(trouble, sentence);
    trouble.hidden = sentence === "";
  };
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    if (again && password.value !== again.value) {
      tell(S.sign.differ);
      return again.focus();
    }
    tell("");
    send.disabled = true;
    const who = { username: username.value, password: password.value };
    try {
      // What is asked meanwhile would tell of an administrator and of nobody who is signed in.
      await alone(async () => {
        await (isFirst ? makeFirst(who) : enter("login", who));
        if (isFirst) location.hash = "#welcome";
      });
    } catch (e) {
      if (!(e instanceof Refusal)) throw e;
      tell(e.message);
    }
    send.disabled = false;
    password.focus();
  };

  root.append(
    isFirst ? h("div", { class: "welcome first" }, stepsView("administrator")) : "",
    h(
      "form",
      { id: "form", class: "card sign", method: "post", onsubmit: submit },
      h("img", { src: "/favicon.ico", alt: "", width: 56, height: 56 }),
      h("h1", {}, isFirst ? S.sign.first : S.sign.in),
      isFirst && h("p", {}, S.sign.firstLong),
      h("label", { for: "username" }, S.sign.username),
      username,
      h("label", { for: "password" }, S.sign.password),
      password,
      isFirst && h("p", { class: "hint", id: "hint" }, S.sign.hint),
      again && h("label", { for: "again" }, S.sign.again),
      again,
      trouble,
      send,
      !isFirst && h("p", { class: "hint", id: "hint" }, S.sign.forgotten),
    ),
  );
  (isFirst || recorder.state ? password : username).focus();
  return () => {};
}
