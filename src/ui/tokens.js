// API tokens: what programs show in place of a password.

import { change, get } from "/ui/api.js";
import { tableFrame } from "/ui/facts.js";
import { h, icon, renew } from "/ui/dom.js";
import { check, confirmed, field, openDialog, tried, trouble } from "/ui/form.js";
import { may, recorder } from "/ui/state.js";
import { S } from "/ui/strings-manage.js";
import { dateTime } from "/ui/time.js";

const PERMISSIONS = /** @type {const} */ ([
  "viewLive",
  "viewRecordings",
  "export",
  "readCameraConfigs",
  "configure",
  "updateSignals",
  "administer",
]);

/** @typedef {{id: number, userId: number, name: string, permissions: Record<string, boolean>, createdTime90k: number, lastUseTime90k: number | null}} Token */

/** Shows a new token, which nobody is told again. @param {string} token */
function showOnce(token) {
  const x = S.tokens;
  const box = h("input", { readOnly: true, value: token, class: "mono", onfocus: () => box.select() });
  const copied = h("p", { class: "hint", role: "status" });
  const copy = async () => {
    box.select();
    // Without encryption a browser has no clipboard for pages, but the old way.
    const isDone = navigator.clipboard
      ? await navigator.clipboard.writeText(token).then(
          () => true,
          () => false,
        )
      : document.execCommand("copy");
    copied.textContent = isDone ? x.copied : x.notCopied;
  };
  openDialog(x.made, [
    h("p", {}, x.once),
    field(x.token, box),
    h("div", { class: "form-end" }, h("button", { type: "button", onclick: copy }, icon("copy"), x.copy)),
    copied,
  ]);
  box.select();
}

/** @param {{id: number, username: string}[]} users @param {() => void} done */
function make(users, done) {
  const x = S.tokens;
  const name = h("input", { required: true, maxLength: 64, autocomplete: "off", placeholder: x.example });
  const mine = recorder.state?.user?.id;
  const user = h(
    "select",
    {},
    users.map((u) => h("option", { value: String(u.id), selected: u.id === mine }, u.username)),
  );
  const boxes = PERMISSIONS.filter((p) => may(p)).map((p) => ({
    p,
    box: h("input", { type: "checkbox", checked: p.startsWith("view") }),
  }));
  const wrong = trouble();
  const save = h("button", {}, x.make);
  const submit = async (/** @type {Event} */ e) => {
    e.preventDefault();
    let told = /** @type {any} */ (null);
    const permissions = Object.fromEntries(boxes.filter(({ box }) => box.checked).map(({ p }) => [p, true]));
    const of = users.length && Number(user.value) !== mine ? { userId: Number(user.value) } : {};
    if (
      !(await tried(save, wrong.tell, async () => {
        told = await change("POST", "/api/tokens/", { token: { name: name.value, permissions, ...of } });
      }))
    ) {
      return;
    }
    dialog.close();
    done();
    showOnce(told.token);
  };
  const dialog = openDialog(x.add, [
    h(
      "form",
      { onsubmit: submit },
      field(x.name, name),
      users.length > 1 && field(S.users.user, user),
      h(
        "fieldset",
        {},
        h("legend", {}, S.users.may),
        boxes.map(({ p, box }) => check(S.users.permissions[p], box)),
      ),
      wrong.element,
      h(
        "div",
        { class: "form-end" },
        save,
        h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, S.cancel),
      ),
    ),
  ]);
}

/**
 * Fills `root` with the tokens that one may see.
 * @param {HTMLElement} root
 * @param {{id: number, username: string}[]} users those that are known
 * @param {(sentence: string) => void} tell what went wrong
 */
export async function tokens(root, users, tell) {
  const x = S.tokens;
  /** @type {Token[]} */
  const all = (await get("/api/tokens/")).tokens;
  const again = () => tokens(root, users, tell).catch(() => {});
  const names = new Map(users.map((u) => [u.id, u.username]));
  /** @param {Token} token */
  const end = async (token) => {
    if ((await confirmed({ title: x.removeTitle(token.name), text: x.removeLong, act: S.remove })) === null) {
      return;
    }
    if (await tried(null, tell, () => change("DELETE", `/api/tokens/${token.id}`))) {
      again();
    }
  };
  const rows = all.map((t) =>
    h(
      "tr",
      { "data-key": t.id },
      h("th", { scope: "row" }, t.name),
      h("td", {}, names.get(t.userId) ?? recorder.state?.user?.name ?? ""),
      h(
        "td",
        { class: "wrap" },
        PERMISSIONS.filter((p) => t.permissions[p])
          .map((p) => S.users.permissions[p])
          .join(", ") || S.none,
      ),
      h("td", {}, t.lastUseTime90k === null ? x.never : dateTime(t.lastUseTime90k)),
      h(
        "td",
        {},
        h("button", { type: "button", class: "plain", "aria-label": `${S.remove}: ${t.name}`, onclick: () => end(t) }, S.remove),
      ),
    ),
  );
  renew(
    root,
    h(
      "div",
      { class: "page-head second" },
      h("h2", {}, x.title),
      h("button", { type: "button", class: "plain", onclick: () => make(users, again) }, icon("plus"), x.add),
    ),
    h("p", { class: "hint" }, x.long),
    rows.length > 0 &&
      tableFrame(
        x.title,
        h(
          "table",
          {},
          h("caption", { class: "spoken" }, x.title),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              [x.name, S.users.user, S.users.may, S.users.lastUse].map((t) => h("th", { scope: "col" }, t)),
              h("th", { scope: "col" }, h("span", { class: "spoken" }, S.remove)),
            ),
          ),
          h("tbody", {}, rows),
        ),
      ),
  );
}
