// The steps of the first visit.

import { h, icon } from "/ui/dom.js";
import { S } from "/ui/strings-manage.js";

export const STEPS = /** @type {const} */ (["administrator", "machine", "cameras", "keep"]);

/** @typedef {(typeof STEPS)[number]} Step */

/** The steps with the one that is shown, also while the administrator is made. @param {Step} now */
export function stepsView(now) {
  const at = STEPS.indexOf(now);
  return h(
    "ol",
    { class: "steps" },
    STEPS.map((step, i) =>
      h(
        "li",
        { "aria-current": i === at ? "step" : null, class: i < at ? "done" : null },
        h("span", { class: "step-sign", "aria-hidden": "true" }, i < at ? icon("check") : i + 1),
        h("span", {}, S.welcome.steps[step]),
      ),
    ),
  );
}
