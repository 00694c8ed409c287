// Who may do what, and who is signed in.

import { change, get } from "/ui/api.js";
import { button, h, say } from "/ui/dom.js";
import { stateWord } from "/ui/facts.js";
import { may, recorder, watch } from "/ui/state.js";
import { S } from "/ui/strings.js";
import { dateTime } from "/ui/time.js";

const PERMISSIONS = /** @type {const} */ (["viewLive", "viewRecordings", "export", "readCameraConfigs", "configure", "updateSignals", "administer"]);

/** @typedef {{id: number, username: string, hasPassword: boolean, disabled: boolean, permissions: Record<string, boolean>}} User */

/**
 * A dialog to make or change a user.
 * @param {User | null} user
 * @param {() => void} done
 */
function edit(user, done) {
  const x = S.users;
  const name = h("input", { id: "user-name", required: true, maxLength: 64, autocapitalize: "none", spellcheck: false, autocomplete: "off", value: user?.username ?? "" });
  const password = h("input", { id: "user-password", type: "password", minLength: 8, maxLength: 256, required: !user, autocomplete: "new-password" });
  const boxes = PERMISSIONS.map((p) => ({ p, box: h("input", { type: "checkbox", checked: user ? user.permissions[p] : p.startsWith("view") }) }));
  const disabled = h("input", { type: "checkbox", checked: user?.disabled ?? false });
  const trouble = h("p", { class: "trouble", role: "alert", hidden: true });
  const save = h("button", {}, S.save);
  const submit = async (/** @type {Event} */ e) => {
    e.preventDefault();
    save.disabled = true;
    const permissions = Object.fromEntries(boxes.map(({ p, box }) => [p, box.checked]));
    const told = { username: name.value, permissions, ...(password.value ? { password: password.value } : {}), ...(user ? { disabled: disabled.checked } : {}) };
    try {
      if (user) await change("PATCH", `/api/users/${user.id}`, { user: told });
      else await change("POST", "/api/users/", { user: told });
      dialog.close();
      done();
    } catch (error) {
      say(trouble, /** @type {Error} */ (error).message);
      trouble.hidden = false;
    }
    save.disabled = false;
  };
  const dialog = h("dialog", { onclose: () => dialog.remove() },
    h("form", { onsubmit: submit },
      h("div", { class: "dialog-head" }, h("h2", {}, user ? user.username : x.add), button("close", S.close, () => dialog.close())),
      h("label", { for: "user-name" }, S.sign.username), name,
      h("label", { for: "user-password" }, user ? x.newPassword : S.sign.password), password,
      h("p", { class: "hint" }, user ? x.keep : S.sign.hint),
      h("fieldset", {}, h("legend", {}, x.may), boxes.map(({ p, box }) => h("label", { class: "check" }, box, x.permissions[p]))),
      user && h("label", { class: "check" }, disabled, x.disabled),
      trouble,
      h("div", { class: "form-end" }, save, h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, S.cancel))));
  document.body.append(dialog);
  dialog.showModal();
}

/** @param {HTMLElement} root */
export function show(root) {
  const x = S.users;
  const cards = h("div", { class: "cards" });
  const sessions = h("div", { class: "table-frame" });
  const status = h("p", { class: "trouble", role: "alert", hidden: true });
  const add = h("button", { type: "button", hidden: true, onclick: () => edit(null, load) }, x.add);
  root.append(h("div", { class: "page-head" }, h("h1", {}, x.title), h("div", { class: "tools" }, add)), status, cards, h("h2", {}, x.sessions), sessions);
  let isEnded = false;

  /** @param {() => Promise<any>} act */
  const tried = async (act) => {
    try {
      await act();
      status.hidden = true;
    } catch (e) {
      say(status, /** @type {Error} */ (e).message);
      status.hidden = false;
    }
  };
  /** @param {User} user */
  const card = (user) => h("article", { class: "card" },
    h("div", { class: "card-head" }, h("h2", {}, user.username), user.disabled ? stateWord(x.isDisabled, "calm") : user.permissions.administer && stateWord(x.administrator, "good")),
    h("p", { class: "hint" }, PERMISSIONS.filter((p) => user.permissions[p]).map((p) => x.permissions[p]).join(", ") || S.none),
    may("administer") && h("div", { class: "form-end" },
      h("button", { type: "button", class: "plain", onclick: () => edit(user, load) }, x.change),
      user.id !== recorder.state?.user?.id && h("button", {
        type: "button", class: "danger",
        onclick: () => confirm(x.sure(user.username)) && tried(() => change("DELETE", `/api/users/${user.id}`)).then(load),
      }, S.remove)));

  const load = () => tried(async () => {
    add.hidden = !may("administer");
    const told = may("administer") ? (await get("/api/users/")).users : [];
    const all = recorder.state?.user ? (await get("/api/sessions/")).sessions : [];
    if (isEnded) return;
    cards.replaceChildren(...(told.length ? told.map(card) : [h("p", {}, x.mayNot)]));
    const names = new Map(told.map((/** @type {User} */ u) => [u.id, u.username]));
    const rows = all.filter((/** @type {any} */ s) => s.revokedTime90k === null).map((/** @type {any} */ s) => h("tr", {},
      h("td", {}, names.get(s.userId) ?? recorder.state?.user?.name ?? ""),
      h("td", {}, s.clockUntrusted ? "" : dateTime(s.lastUseTime90k)),
      h("td", {}, s.address ?? ""),
      h("td", { title: s.userAgent ?? "" }, x.browser(s.userAgent ?? "")),
      h("td", {}, s.current ? x.current : h("button", { type: "button", class: "plain", onclick: () => tried(() => change("DELETE", `/api/sessions/${s.id}`)).then(load) }, x.end))));
    sessions.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, [x.user, x.lastUse, x.from, x.program, ""].map((t) => h("th", {}, t)))), h("tbody", {}, rows)));
    sessions.hidden = rows.length === 0;
  });
  let known = "";
  const unwatch = watch(() => {
    const key = JSON.stringify([recorder.state?.user?.id, recorder.state?.permissions]);
    if (key !== known) load();
    known = key;
  });
  return () => {
    isEnded = true;
    unwatch();
  };
}
