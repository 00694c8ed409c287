// The disks.

import { h } from "/ui/dom.js";
import { stateWord } from "/ui/facts.js";
import { bytes } from "/ui/format.js";
import { recorder, watch } from "/ui/state.js";
import { S } from "/ui/strings.js";

/** @param {any} disk */
function diskView(disk) {
  const word = !disk.ready ? stateWord(S.storage.away, "bad") : disk.full ? stateWord(S.storage.full, "bad") : stateWord(S.storage.inUse, "good");
  const used = h("span", {});
  if (disk.totalBytes) used.style.width = `${(100 * (disk.totalBytes - disk.freeBytes)) / disk.totalBytes}%`;
  return h(
    "article",
    { class: "card" },
    h("div", { class: "card-head" }, h("h2", {}, disk.path), word),
    disk.trouble && h("p", { class: "reason" }, S.diskTrouble(disk.path, disk.trouble)),
    disk.totalBytes && h("p", { class: "hint" }, S.storage.free(bytes(disk.freeBytes), bytes(disk.totalBytes))),
    disk.totalBytes && h("div", { class: "meter" }, used),
  );
}

/** @param {HTMLElement} root */
export function show(root) {
  const cards = h("div", { class: "cards" });
  root.append(h("div", { class: "page-head" }, h("h1", {}, S.storage.title)), cards);
  return watch(() => cards.replaceChildren(...(recorder.state?.sampleDirs ?? []).map(diskView)));
}
