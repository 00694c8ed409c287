// Signing in, and making the first administrator. The browser's own password keeper is of use here.

import { Refusal, ask } from "/ui/api.js";
import { h, say } from "/ui/dom.js";
import { recorder, refresh } from "/ui/state.js";
import { stepsView } from "/ui/steps.js";
import { S } from "/ui/strings.js";

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
    try {
      await ask(isFirst ? "/api/setup" : "/api/login", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ username: username.value, password: password.value }),
      });
      if (isFirst) location.hash = "#welcome";
      await refresh();
    } catch (e) {
      if (!(e instanceof Refusal)) throw e;
      tell(e.message);
      // Somebody else has made the administrator, just now.
      if (e.status === 409) await refresh();
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
