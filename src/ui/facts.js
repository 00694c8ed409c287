// Names and values side by side.

import { h } from "/ui/dom.js";

/** A list of what is known. @param {[string, string | number | Node | null | undefined][]} pairs */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined);
  return h(
    "dl",
    {},
    known.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

/** A word in a coloured field. @param {string} word @param {"good" | "bad" | "calm"} kind */
export const stateWord = (word, kind) => h("span", { class: `state ${kind}` }, word);

/** A table that can be moved sideways where it is wider than the screen, by keyboard too. @param {string} name @param {Node[]} children */
export const tableFrame = (name, ...children) =>
  h("div", { class: "table-frame", role: "region", tabIndex: 0, "aria-label": name }, ...children);
