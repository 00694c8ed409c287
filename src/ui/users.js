// Who may do what, who is signed in, and which programs have tokens. Everybody has the part about themselves.

import { change, get } from "/ui/api.js";
import { h, icon, renew } from "/ui/dom.js";
import { stateWord, tableFrame } from "/ui/facts.js";
import { check, confirmed, field, openDialog, tried, trouble } from "/ui/form.js";
import { may, recorder, refresh, watch } from "/ui/state.js";
import { S } from "/ui/strings-manage.js";
import { tokens } from "/ui/tokens.js";
import { dateTime } from "/ui/time.js";

export const PERMISSIONS = /** @type {const} */ ([
  "viewLive",
  "viewRecordings",
  "export",
  "readCameraConfigs",
  "configure",
  "updateSignals",
  "administer",
]);

/** What most users are: one choice in place of seven. @type {Record<string, readonly string[]>} */
const ROLES = {
  watch: ["viewLive", "viewRecordings"],
  exporter: ["viewLive", "viewRecordings", "export"],
  installer: ["viewLive", "viewRecordings", "export", "readCameraConfigs", "configure"],
  all: PERMISSIONS,
};

/** @typedef {{id: number, username: string, hasPassword: boolean, disabled: boolean, permissions: Record<string, boolean>, cameras?: string[] | null}} User */

/** @param {Record<string, boolean>} permissions */
function roleOf(permissions) {
  const key = PERMISSIONS.filter((p) => permissions[p]).join();
  return Object.entries(ROLES).find(([, all]) => PERMISSIONS.filter((p) => all.includes(p)).join() === key)?.[0] ?? "other";
}

/**
 * A dialog to make or change a user.
 * @param {User | null} user
 * @param {() => void} done
 */
function edit(user, done) {
  const x = S.users;
  const name = h("input", {
    required: true,
    maxLength: 64,
    autocapitalize: "none",
    spellcheck: false,
    autocomplete: "off",
    value: user?.username ?? "",
  });
  const password = h("input", { type: "password", minLength: 8, maxLength: 256, required: !user, autocomplete: "new-password" });
  const role = h(
    "select",
    { onchange: () => shape() },
    [...Object.keys(ROLES), "other"].map((r) =>
      h("option", { value: r, selected: r === (user ? roleOf(user.permissions) : "watch") }, x.roles[r]),
    ),
  );
  const boxes = PERMISSIONS.map((p) => ({
    p,
    box: h("input", { type: "checkbox", checked: user ? user.permissions[p] : p.startsWith("view") }),
  }));
  const single = h(
    "fieldset",
    {},
    h("legend", {}, x.may),
    boxes.map(({ p, box }) => check(x.permissions[p], box)),
  );
  const chosen = user?.cameras ?? null;
  const cameras = (recorder.state?.cameras ?? []).map((c) => ({
    c,
    box: h("input", { type: "checkbox", checked: chosen === null || chosen.includes(c.uuid) }),
  }));
  const some = h("input", { type: "checkbox", checked: chosen !== null, onchange: () => shape() });
  const which = h(
    "fieldset",
    { class: "inset" },
    h("legend", { class: "spoken" }, S.tabs.cameras),
    cameras.map(({ c, box }) => check(c.shortName, box)),
  );
  const disabled = h("input", { type: "checkbox", checked: user?.disabled ?? false });
  const wrong = trouble();
  const save = h("button", {}, S.save);
  const shape = () => {
    single.hidden = role.value !== "other";
    const of = ROLES[role.value];
    if (of) for (const { p, box } of boxes) box.checked = of.includes(p);
    const isAll = boxes.some(({ p, box }) => p === "administer" && box.checked);
    onlySome.hidden = isAll || cameras.length === 0;
    which.hidden = onlySome.hidden || !some.checked;
  };
  const submit = async (/** @type {Event} */ e) => {
    e.preventDefault();
    const permissions = Object.fromEntries(boxes.map(({ p, box }) => [p, box.checked]));
    const told = {
      username: name.value,
      permissions,
      cameras: which.hidden ? null : cameras.filter(({ box }) => box.checked).map(({ c }) => c.uuid),
      ...(password.value ? { password: password.value } : {}),
      ...(user ? { disabled: disabled.checked } : {}),
    };
    const act = () =>
      user ? change("PATCH", `/api/users/${user.id}`, { user: told }) : change("POST", "/api/users/", { user: told });
    if (!(await tried(save, wrong.tell, act))) return;
    dialog.close();
    done();
  };
  const onlySome = check(x.someCameras, some);
  const dialog = openDialog(user ? user.username : x.add, [
    h(
      "form",
      { onsubmit: submit },
      field(S.sign.username, name),
      field(user ? x.newPassword : S.sign.password, password, user ? x.keep : S.sign.hint),
      field(x.role, role),
      single,
      onlySome,
      which,
      user && user.id !== recorder.state?.user?.id && check(x.disabled, disabled),
      wrong.element,
      h(
        "div",
        { class: "form-end" },
        save,
        h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, S.cancel),
      ),
    ),
  ]);
  shape();
}

/** A dialog for one's own password. @param {number} id @param {(sentence: string) => void} done */
function changePassword(id, done) {
  const x = S.users;
  const secret = () =>
    h("input", { type: "password", required: true, minLength: 8, maxLength: 256, autocomplete: "new-password" });
  const [password, again] = [secret(), secret()];
  const wrong = trouble();
  const save = h("button", {}, S.save);
  const submit = async (/** @type {Event} */ e) => {
    e.preventDefault();
    if (password.value !== again.value) return wrong.tell(S.sign.differ);
    if (!(await tried(save, wrong.tell, () => change("PATCH", `/api/users/${id}`, { user: { password: password.value } })))) {
      return;
    }
    dialog.close();
    done(x.passwordChanged);
  };
  const dialog = openDialog(x.ownPassword, [
    h(
      "form",
      { onsubmit: submit },
      field(x.newPassword, password, S.sign.hint),
      field(S.sign.again, again),
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

/** @param {HTMLElement} root */
export function show(root) {
  const x = S.users;
  const me = h("section", { class: "card me" });
  const cards = h("div", { class: "cards" });
  const sessions = tableFrame(x.sessions);
  const sessionsHead = h("h2", {}, x.sessions);
  const programs = h("section", {});
  const wrong = trouble();
  const well = h("p", { class: "well", role: "status", hidden: true });
  const add = h("button", { type: "button", hidden: true, onclick: () => edit(null, load) }, icon("plus"), x.add);
  root.append(
    h("div", { class: "page-head" }, h("h1", {}, x.title), h("div", { class: "tools" }, add)),
    wrong.element,
    well,
    me,
    cards,
    sessionsHead,
    sessions,
    programs,
  );
  let isEnded = false;

  /** @param {User} user */
  const card = (user) =>
    h(
      "article",
      { class: "card", "data-key": user.id },
      h(
        "div",
        { class: "card-head" },
        h("h2", {}, user.username),
        user.disabled ? stateWord(x.isDisabled, "calm") : user.permissions.administer && stateWord(x.administrator, "good"),
      ),
      h(
        "p",
        { class: "hint" },
        roleOf(user.permissions) === "other"
          ? PERMISSIONS.filter((p) => user.permissions[p])
              .map((p) => x.permissions[p])
              .join(", ") || S.none
          : x.roles[roleOf(user.permissions)],
      ),
      !user.hasPassword && h("p", { class: "hint" }, x.noPassword),
      h(
        "div",
        { class: "form-end" },
        h(
          "button",
          {
            type: "button",
            class: "plain",
            "aria-label": `${x.change}: ${user.username}`,
            onclick: () =>
              get(`/api/users/${user.id}`).then(
                (whole) => edit(whole, load),
                (e) => wrong.tell(e.message),
              ),
          },
          icon("edit"),
          x.change,
        ),
        user.id !== recorder.state?.user?.id &&
          h(
            "button",
            { type: "button", class: "plain", "aria-label": `${S.remove}: ${user.username}`, onclick: () => remove(user) },
            icon("trash"),
            S.remove,
          ),
      ),
    );

  /** @param {User} user */
  const remove = async (user) => {
    if ((await confirmed({ title: x.removeTitle(user.username), text: x.sure, act: S.remove })) === null) {
      return;
    }
    await tried(null, wrong.tell, () => change("DELETE", `/api/users/${user.id}`));
    load();
  };
  const aboutMe = () => {
    const user = recorder.state?.user;
    me.hidden = !user;
    if (!user) return;
    const mine = PERMISSIONS.filter((p) => may(p));
    renew(
      me,
      h("div", { class: "card-head" }, h("h2", {}, x.you(user.name)), may("administer") && stateWord(x.administrator, "good")),
      h("p", { class: "hint" }, x.youMay(mine.map((p) => x.permissions[p]).join(", ") || S.none)),
      h(
        "div",
        { class: "form-end" },
        user.id !== undefined &&
          user.session &&
          h(
            "button",
            {
              type: "button",
              class: "plain",
              onclick: () =>
                changePassword(user.id, (sentence) => {
                  well.textContent = sentence;
                  well.hidden = false;
                }),
            },
            x.ownPassword,
          ),
        user.session &&
          h(
            "button",
            {
              type: "button",
              class: "plain",
              onclick: () => tried(null, wrong.tell, () => change("POST", "/api/logout")).then(() => refresh()),
            },
            icon("leave"),
            S.sign.out,
          ),
      ),
    );
  };
  const load = () =>
    tried(null, wrong.tell, async () => {
      aboutMe();
      add.hidden = !may("administer");
      const told = may("administer") ? (await get("/api/users/")).users : [];
      const isSomebody = Boolean(recorder.state?.user?.session);
      const all = isSomebody ? (await get("/api/sessions/")).sessions : [];
      if (isEnded) return;
      renew(cards, ...told.map(card));
      if (!told.length && !isSomebody) renew(cards, h("p", {}, x.mayNot));
      const names = new Map(told.map((/** @type {User} */ u) => [u.id, u.username]));
      const rows = all
        .filter((/** @type {any} */ s) => s.revokedTime90k === null)
        .map((/** @type {any} */ s) =>
          h(
            "tr",
            { "data-key": s.id },
            h("th", { scope: "row" }, names.get(s.userId) ?? recorder.state?.user?.name ?? ""),
            h("td", {}, s.clockUntrusted ? "" : dateTime(s.lastUseTime90k)),
            h("td", {}, s.address ?? ""),
            h("td", { title: s.userAgent ?? "" }, x.browser(s.userAgent ?? "")),
            h(
              "td",
              {},
              s.current
                ? x.current
                : h(
                    "button",
                    {
                      type: "button",
                      class: "plain",
                      onclick: () => tried(null, wrong.tell, () => change("DELETE", `/api/sessions/${s.id}`)).then(load),
                    },
                    x.end,
                  ),
            ),
          ),
        );
      renew(
        sessions,
        h(
          "table",
          {},
          h("caption", { class: "spoken" }, x.sessions),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              [x.user, x.lastUse, x.from, x.program].map((t) => h("th", { scope: "col" }, t)),
              h("th", { scope: "col" }, h("span", { class: "spoken" }, x.end)),
            ),
          ),
          h("tbody", {}, rows),
        ),
      );
      sessions.hidden = sessionsHead.hidden = rows.length === 0;
      programs.hidden = !isSomebody;
      if (isSomebody) await tokens(programs, told, wrong.tell);
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
