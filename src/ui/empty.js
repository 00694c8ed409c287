// What there is to see while there is no camera.

import { h } from "/ui/dom.js";
import { may } from "/ui/state.js";
import { S } from "/ui/strings.js";

/** What there is to say while there is no camera. */
export function empty() {
  return [
    h("h2", {}, S.noCameras),
    h("p", {}, may("configure") ? S.noCamerasLong : S.noCamerasMayNot),
    may("configure") && h("p", {}, h("a", { class: "button", href: "#cameras?new=" }, S.addCamera)),
  ];
}
