// Taking recordings out as files: from when to when, of which cameras, with the size told ahead.

import { streamPath } from "/ui/api.js";
import { button, h, icon, say } from "/ui/dom.js";
import { download } from "/ui/downloads.js";
import { bytes, duration } from "/ui/format.js";
import { list } from "/ui/recorded.js";
import { streamOf } from "/ui/state.js";
import { S } from "/ui/strings.js";
import { clock, inputValue, isoDate, parse } from "/ui/time.js";

/** A link longer than this is more than some programs take. */
const MAX_LINK = 7000;
/** After a change the size is asked for this much later, in milliseconds. */
const PAUSE_MS = 300;

/** @typedef {import("/ui/state.js").Camera} Camera */
/** @typedef {{name: string, link: string, size: number, length: number}} File */

/**
 * One file of what a stream has of a span; `null` if it has nothing, a sentence if it cannot be.
 * @param {Camera} camera @param {"main" | "sub"} wanted @param {number} from @param {number} to @param {boolean} subtitles
 * @returns {Promise<File | string | null>}
 */
async function fileOf(camera, wanted, from, to, subtitles) {
  const kind = streamOf(camera, wanted);
  if (!kind) return null;
  const { rows } = await list(camera.uuid, kind, from, to);
  const parameters = new URLSearchParams();
  let [size, length] = [0, 0];
  for (const row of rows) {
    const [a, b] = [Math.max(from, row.startTime90k), Math.min(to, row.endTime90k)];
    const whole = row.endTime90k - row.startTime90k;
    if (b <= a || whole <= 0) continue;
    const ids = row.endId === undefined || row.endId === row.startId ? `${row.startId}` : `${row.startId}-${row.endId}`;
    const isCut = a > row.startTime90k || b < row.endTime90k || row.growing;
    parameters.append("s", `${ids}@${row.openId}${isCut ? `.${a - row.startTime90k}-${b - row.startTime90k}` : ""}`);
    size += row.sampleFileBytes * ((b - a) / whole);
    length += b - a;
  }
  if (length === 0) return null;
  const name = `${camera.shortName} ${isoDate(from)} ${clock(from).replaceAll(":", ".")}.mp4`;
  if (subtitles) parameters.set("ts", "true");
  parameters.set("filename", name);
  const link = `${streamPath(camera.uuid, kind)}/view.mp4?${parameters}`;
  return link.length > MAX_LINK ? S.export.tooMany : { name, link, size, length };
}

/**
 * @param {Camera[]} cameras
 * @param {string[]} chosen
 * @param {number} start
 * @param {number} end
 */
export function openExport(cameras, chosen, start, end) {
  const x = S.export;
  const time = (/** @type {string} */ id, /** @type {number} */ t) =>
    h("input", { id, type: "datetime-local", step: "1", value: inputValue(t), oninput: () => changed() });
  const from = time("export-from", start);
  const to = time("export-to", end);
  const stream = h(
    "select",
    { id: "export-stream", onchange: () => changed() },
    h("option", { value: "main" }, x.main),
    h("option", { value: "sub" }, x.sub),
  );
  const subtitles = h("input", { type: "checkbox", onchange: () => changed() });
  const boxes = cameras.map((camera) => ({
    camera,
    box: h("input", { type: "checkbox", checked: chosen.includes(camera.uuid), onchange: () => changed() }),
  }));
  const status = h("p", { class: "hint", role: "status" });
  const files = h("ul", { class: "export-list" });
  const all = h("button", { type: "button", disabled: true }, icon("save"), x.all);
  let turn = 0;
  let timer = 0;

  const work = async () => {
    const mine = ++turn;
    const nothing = (/** @type {string} */ sentence) => {
      files.replaceChildren();
      say(status, sentence);
    };
    // To the tick where nobody changed it: the field knows whole seconds only.
    const a = from.value === inputValue(start) ? start : parse(from.value);
    const b = to.value === inputValue(end) ? end : parse(to.value);
    if (a === null || b === null || a >= b) return nothing(x.wrong);
    say(status, x.sizing);
    /** @type {File[]} */
    const found = [];
    const items = [];
    try {
      for (const { camera, box } of boxes) {
        if (!box.checked) continue;
        const file = await fileOf(camera, stream.value, a, b, subtitles.checked);
        if (mine !== turn) return;
        if (file === null) {
          items.push(h("li", {}, h("strong", {}, camera.shortName), `: ${x.nothing}`));
        } else if (typeof file === "string") {
          items.push(h("li", {}, h("strong", {}, camera.shortName), `: ${file}`));
        } else {
          found.push(file);
          items.push(
            h(
              "li",
              {},
              h("strong", {}, camera.shortName),
              h("div", { class: "hint" }, x.size(bytes(file.size), duration(file.length))),
              h("a", { href: file.link, download: file.name }, x.link),
            ),
          );
        }
      }
    } catch (e) {
      return mine === turn ? nothing(/** @type {Error} */ (e).message) : undefined;
    }
    files.replaceChildren(...items);
    say(status, found.length ? x.total(bytes(found.reduce((sum, f) => sum + f.size, 0)), found.length) : x.nothing);
    all.disabled = found.length === 0;
    all.onclick = () => {
      found.forEach(download);
      dialog.close();
    };
  };
  const changed = () => {
    // What was found for the choice before can no more be had.
    turn += 1;
    all.disabled = true;
    say(status, x.sizing);
    clearTimeout(timer);
    timer = setTimeout(work, PAUSE_MS);
  };
  const dialog = h(
    "dialog",
    {
      onclose: () => {
        turn += 1;
        dialog.remove();
      },
    },
    h(
      "div",
      { class: "dialog-head" },
      h("h2", {}, x.title),
      button("close", S.close, () => dialog.close()),
    ),
    h(
      "div",
      { class: "fields" },
      h("div", {}, h("label", { for: "export-from" }, x.from), from),
      h("div", {}, h("label", { for: "export-to" }, x.to), to),
    ),
    h(
      "fieldset",
      {},
      h("legend", {}, x.cameras),
      boxes.map(({ camera, box }) => h("label", { class: "check" }, box, camera.shortName)),
    ),
    h("label", { for: "export-stream" }, x.stream),
    stream,
    h("label", { class: "check" }, subtitles, x.subtitles),
    status,
    files,
    h("div", { class: "form-end" }, all),
  );
  document.body.append(dialog);
  dialog.showModal();
  work();
}
