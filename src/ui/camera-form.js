// Setting up one camera: its address and password, a look at its picture before anything is saved.

import { change } from "/ui/api.js";
import { picture } from "/ui/camera-test.js";
import { h, put, say } from "/ui/dom.js";
import { check, field, tried, trouble } from "/ui/form.js";
import { MAKES, addresses, makeOf } from "/ui/makes.js";
import { recorder, refresh } from "/ui/state.js";
import { S } from "/ui/strings-manage.js";

/** The test of a camera takes up to about twenty seconds. */
const PATIENCE_MS = 40000;

/**
 * @typedef {{id?: number, url: string, transport: string, record: boolean, retainBytes: number | null,
 *   retainDays: number | null, sampleDirId: number | null}} StreamConfig
 * @typedef {{uuid: string, shortName: string, description: string, username: string | null, hasPassword: boolean,
 *   inFile: boolean, removed: boolean, streams: Record<string, StreamConfig>}} Config
 * @typedef {import("/ui/camera-test.js").Tested} Tested
 * @typedef {{streams: Record<string, Tested>, advice?: import("/ui/camera-test.js").Advice[]}} Answer
 */

/** What somebody may know of a camera that is to be made. @typedef {{name?: string, main?: string, sub?: string | null}} Hint */

const KINDS = /** @type {const} */ (["main", "sub"]);

/**
 * A form to make or change a camera.
 * @param {Config | null} config the camera to change
 * @param {{done: (uuid: string) => void, cancel?: () => void, hint?: Hint, username?: string, password?: string}} options
 */
export function cameraForm(config, { done, cancel, hint = {}, username = "", password = "" }) {
  const x = S.camera;
  const bare = { autocapitalize: "none", spellcheck: false, autocomplete: "off" };
  const first = config?.streams.main?.url ?? hint.main ?? "";
  const inputs = {
    name: h("input", {
      name: "name",
      required: true,
      maxLength: 64,
      autocomplete: "off",
      value: config?.shortName ?? hint.name ?? "",
    }),
    description: h("input", { name: "description", maxLength: 200, autocomplete: "off", value: config?.description ?? "" }),
    address: h("input", {
      ...bare,
      name: "address",
      inputMode: "url",
      placeholder: x.addressExample,
      value: first,
      required: !config,
    }),
    make: h("select", { name: "make" }),
    sub: h("input", {
      ...bare,
      name: "sub",
      inputMode: "url",
      placeholder: "rtsp://",
      value: config?.streams.sub?.url ?? hint.sub ?? "",
    }),
    username: h("input", { ...bare, name: "camera-user", value: config ? (config.username ?? "") : username }),
    password: h("input", {
      type: "password",
      name: "camera-password",
      autocomplete: "new-password",
      value: config ? "" : password,
      placeholder: config?.hasPassword ? x.passwordKept : "",
    }),
    udp: h("input", { type: "checkbox", checked: Object.values(config?.streams ?? {}).some((s) => s.transport === "udp") }),
    main: h("input", { type: "checkbox", checked: config?.streams.main?.record ?? true }),
    small: h("input", { type: "checkbox", checked: config?.streams.sub?.record ?? true }),
    disk: h("select", {}, h("option", { value: "" }, x.anyDisk)),
  };
  put(
    inputs.make,
    h("option", { value: "" }, x.findOut),
    MAKES.map((make) => h("option", { value: make.name }, make.name)),
  );
  const disks = recorder.state?.sampleDirs ?? [];
  put(
    inputs.disk,
    disks.map((d) => h("option", { value: String(d.id), selected: d.id === config?.streams.main?.sampleDirId }, d.path)),
  );

  const makeField = field(x.make, inputs.make, x.makeHint);
  const subField = field(x.sub, inputs.sub, x.subHint);
  const isWhole = () => inputs.address.value.includes("://");
  const shape = () => {
    makeField.hidden = isWhole();
    subField.hidden = !isWhole();
  };
  inputs.address.addEventListener("input", shape);
  shape();

  const wrong = trouble();
  const progress = h("p", { class: "hint", role: "status" });
  const pictures = h("div", { class: "tested" });
  const look = h("button", { type: "submit" }, x.look);
  const save = h("button", { type: "button", class: "plain", hidden: true }, x.saveUnseen);
  /** What was tried last, and what is saved. @type {{main: string, sub: string | null} | null} */
  let found = null;
  let turn = 0;
  /** @type {AbortController | null} */
  let asking = null;

  /** What the form says, with these addresses. @param {string | null} main @param {string | null} sub */
  const told = (main, sub) => {
    const stream = (/** @type {string} */ url, /** @type {boolean} */ record) => ({
      url,
      record,
      transport: inputs.udp.checked ? "udp" : "tcp",
      ...(inputs.disk.value ? { sampleDirId: Number(inputs.disk.value) } : {}),
    });
    return {
      shortName: inputs.name.value.trim(),
      description: inputs.description.value.trim(),
      username: inputs.username.value === "" ? null : inputs.username.value,
      ...(inputs.password.value !== "" || !config ? { password: inputs.password.value || null } : {}),
      streams: {
        ...(main === null ? {} : { main: stream(main, inputs.main.checked) }),
        ...(sub ? { sub: stream(sub, inputs.small.checked) } : config?.streams.sub ? { sub: null } : {}),
      },
    };
  };
  /** @param {string} main @param {string | null} sub @returns {Promise<Answer>} */
  const test = async (main, sub) => {
    const { streams, username: user, ...rest } = told(main, sub);
    const camera = {
      username: user,
      ...("password" in rest ? { password: rest.password } : {}),
      streams: Object.fromEntries(Object.entries(streams).filter(([, s]) => s !== null)),
    };
    asking = new AbortController();
    const signal = AbortSignal.any([asking.signal, AbortSignal.timeout(PATIENCE_MS)]);
    return change("POST", "/api/cameras/test", { camera, ...(config ? { uuid: config.uuid } : {}) }, signal);
  };
  /** The addresses to try: those that were given, those of the make, or those of all makes in turn. */
  const candidates = () => {
    if (isWhole()) {
      return [{ name: "", main: inputs.address.value.trim(), sub: inputs.sub.value.trim() || null }];
    }
    const makes = MAKES.filter((make) => inputs.make.value === "" || make.name === inputs.make.value);
    return makes.map((make) => ({ name: make.name, ...addresses(make, inputs.address.value) }));
  };

  const tryIt = async () => {
    const mine = ++turn;
    found = null;
    pictures.replaceChildren();
    save.hidden = true;
    const all = candidates();
    for (const [i, candidate] of all.entries()) {
      say(progress, all.length > 1 ? x.trying(candidate.name, i + 1, all.length) : x.looking);
      // Of many, the main stream alone tells whether the rest is worth asking for.
      let tested = all.length > 1 ? await test(candidate.main, null) : await test(candidate.main, candidate.sub);
      if (mine !== turn) return;
      const kind = tested.streams.main?.error?.kind;
      if (all.length > 1 && i + 1 < all.length && (kind === "path" || kind === "noVideo" || kind === "camera")) {
        continue;
      }
      if (all.length > 1 && tested.streams.main?.ok) {
        inputs.make.value = candidate.name;
        if (candidate.sub) tested = await test(candidate.main, candidate.sub);
        if (mine !== turn) return;
      }
      const hasNoSub = candidate.sub && all.length > 1 && tested.streams.sub?.error?.kind === "path";
      found = { main: candidate.main, sub: hasNoSub ? null : candidate.sub };
      say(progress, "");
      pictures.replaceChildren(
        ...KINDS.filter((k) => tested.streams[k]).map((k) => picture(k, tested.streams[k], tested.advice)),
      );
      const isGood = tested.streams.main?.ok === true;
      say(save, isGood ? (config ? S.save : x.saveAndRecord) : x.saveUnseen);
      save.hidden = false;
      save.className = isGood ? "" : "plain";
      look.className = isGood ? "plain" : "";
      say(look, x.lookAgain);
      save.focus();
      save.scrollIntoView({ block: "nearest" });
      return;
    }
  };
  const submit = async (/** @type {Event} */ e) => {
    e.preventDefault();
    if (!(await tried(look, wrong.tell, tryIt))) say(progress, "");
  };
  save.addEventListener("click", () =>
    tried(save, wrong.tell, async () => {
      if (!form.reportValidity() || !found) return;
      const camera = told(found.main, found.sub);
      const made = config
        ? await change("PATCH", `/api/cameras/${config.uuid}/`, { camera })
        : await change("POST", "/api/cameras/", { camera });
      await refresh();
      done(config?.uuid ?? made.uuid);
    }),
  );
  /** Only words are changed: nothing to look at. */
  const rename = h("button", { type: "button", class: "plain", hidden: !config }, S.save);
  rename.addEventListener("click", () =>
    tried(rename, wrong.tell, async () => {
      if (!config || !form.reportValidity()) return;
      const url = inputs.address.value.trim();
      const camera = told(isWhole() ? url : null, isWhole() ? inputs.sub.value.trim() || null : null);
      if (!isWhole() && config.streams.main) {
        delete (/** @type {any} */ (camera.streams).sub);
      }
      await change("PATCH", `/api/cameras/${config.uuid}/`, { camera });
      await refresh();
      done(config.uuid);
    }),
  );

  const form = h(
    "form",
    { class: "camera-form", onsubmit: submit },
    h("div", { class: "fields" }, field(x.name, inputs.name, x.nameHint), field(x.address, inputs.address, x.addressHint)),
    h(
      "div",
      { class: "fields" },
      field(x.username, inputs.username),
      field(x.password, inputs.password, config ? x.passwordHint : undefined),
    ),
    h("div", { class: "fields" }, makeField, subField),
    h(
      "details",
      {},
      h("summary", {}, x.more),
      field(x.description, inputs.description),
      disks.length > 1 && field(x.disk, inputs.disk),
      check(x.recordMain, inputs.main),
      check(x.recordSub, inputs.small, x.recordSubHint),
      check(x.udp, inputs.udp, x.udpHint),
    ),
    pictures,
    progress,
    wrong.element,
    h(
      "div",
      { class: "form-end" },
      look,
      save,
      rename,
      cancel && h("button", { type: "button", class: "plain", onclick: cancel }, S.cancel),
    ),
  );
  const unused = makeOf(first);
  if (unused) inputs.make.value = unused;
  return {
    element: form,
    focus: () => (config ? inputs.name : inputs.name.value ? inputs.password : inputs.name).focus(),
    end: () => ((turn += 1), asking?.abort()),
  };
}
