// Fields, dialogs and questions.

import { button, h, put, say } from "/ui/dom.js";
import { S } from "/ui/strings.js";

let made = 0;

/**
 * A field with its name above it, and perhaps a word on what to enter.
 * @param {string} name
 * @param {any} input
 * @param {string} [hint]
 */
export function field(name, input, hint) {
  made += 1;
  if (!input.id) input.id = `field-${made}`;
  const described = hint ? h("p", { class: "hint", id: `hint-${made}` }, hint) : null;
  if (described) input.setAttribute("aria-describedby", described.id);
  return h("div", { class: "field" }, h("label", { for: input.id }, name), input, described);
}

/**
 * A box to tick, with what that means.
 * @param {string} name
 * @param {any} input
 * @param {string} [hint]
 */
export function check(name, input, hint) {
  return h("label", { class: "check" }, input, h("span", {}, name, hint && h("span", { class: "hint" }, hint)));
}

/** What went wrong, told where it did; nothing while `tell` was told nothing. */
export function trouble() {
  const element = h("p", { class: "trouble", role: "alert", hidden: true });
  const tell = (/** @type {string} */ sentence) => {
    say(element, sentence);
    element.hidden = sentence === "";
  };
  return { element, tell };
}

/**
 * A dialog that is gone once it is closed.
 * @param {string} title
 * @param {(import("/ui/dom.js").Child | import("/ui/dom.js").Child[])[]} children
 * @param {{wide?: boolean, onClose?: () => void}} [options]
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, children, { wide = false, onClose } = {}) {
  const dialog = h(
    "dialog",
    { class: wide ? "wide" : null, "aria-label": title, onclose: () => (dialog.remove(), onClose?.()) },
    h(
      "div",
      { class: "dialog-head" },
      h("h2", {}, title),
      button("close", S.close, () => dialog.close()),
    ),
  );
  put(dialog, ...children);
  document.body.append(dialog);
  dialog.showModal();
  // A keyboard goes on in the first field; a finger that gets one unasked loses half of its screen.
  const first = dialog.querySelector("input:not([type=radio], [type=checkbox]), select, textarea");
  if (first instanceof HTMLElement && matchMedia("(pointer: fine)").matches) first.focus();
  return dialog;
}

/**
 * Asks before something that cannot be undone. Answers which of the choices it was, "" where there are none,
 * and `null` for no.
 * @param {{title: string, text: string, act: string, choices?: [string, string, string][], tick?: string}} question
 *   choices are value, name and what it means; `tick` is what must be ticked first
 * @returns {Promise<string | null>}
 */
export function confirmed({ title, text, act, choices = [], tick }) {
  return new Promise((ok) => {
    let answer = /** @type {string | null} */ (null);
    const boxes = choices.map(([value, name, hint], i) => {
      const box = h("input", { type: "radio", name: "choice", value, checked: i === 0 });
      return { box, element: check(name, box, hint) };
    });
    const submit = (/** @type {Event} */ e) => {
      e.preventDefault();
      answer = boxes.find(({ box }) => box.checked)?.box.value ?? "";
      dialog.close();
    };
    const no = h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, S.cancel);
    const form = h(
      "form",
      { onsubmit: submit },
      h("p", {}, text),
      boxes.length > 0 &&
        h(
          "fieldset",
          {},
          h("legend", { class: "spoken" }, title),
          boxes.map((b) => b.element),
        ),
      tick && check(tick, h("input", { type: "checkbox", required: true })),
      h("div", { class: "form-end" }, h("button", { class: "danger" }, act), no),
    );
    const dialog = openDialog(title, [form], { onClose: () => ok(answer) });
    no.focus();
  });
}

/**
 * Runs something that may be refused, with its button off meanwhile; what went wrong is told. Whether it went well.
 * @param {HTMLButtonElement | null} pressed
 * @param {(sentence: string) => void} tell
 * @param {() => Promise<any>} act
 */
export async function tried(pressed, tell, act) {
  tell("");
  if (pressed) pressed.disabled = true;
  try {
    await act();
    return true;
  } catch (e) {
    tell(/** @type {Error} */ (e).message);
    return false;
  } finally {
    if (pressed) pressed.disabled = false;
  }
}
