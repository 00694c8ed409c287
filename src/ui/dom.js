// Making elements.

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element. Names with a dash, `class`, `role` and `for` are attributes, the rest are properties, among them listeners
 * (`onclick`); what is `null` or `undefined` is left out.
 * @param {string} name
 * @param {Record<string, any>} [properties]
 * @param {...(Child | Child[])} children
 * @returns {any} an element of that name
 */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (key.includes("-") || key === "class" || key === "role" || key === "for") {
      element.setAttribute(key, value);
    } else {
      /** @type {any} */ (element)[key] = value;
    }
  }
  put(element, ...children);
  return element;
}

/**
 * Adds children.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function put(element, ...children) {
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) {
      element.append(child instanceof Node ? child : String(child));
    }
  }
}

/**
 * Sets an element's text, unless it is that already: what a screen reader follows must not change for nothing.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** What is listened to in what is renewed. */
const LISTENERS = /** @type {const} */ (["onclick", "onchange", "onload", "onerror"]);

/**
 * Makes an element's children like those given, in place of them: what is there already stays, so that a pointer, the
 * keyboard, a screen reader or a selection that is on it keeps what it is on, and a click that has begun is one. Those
 * with a `data-key` are told apart by it, others by their place. Not for fields: what is typed is no part of it, and
 * listeners may only speak of elements by their event's target.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function renew(element, ...children) {
  const wanted = children.flat().filter((c) => c !== null && c !== undefined && c !== false && c !== "");
  const next = wanted.map((c) => (c instanceof Node ? c : document.createTextNode(String(c))));
  for (const [i, child] of next.entries()) {
    const there = element.childNodes[i];
    const key = keyOf(child);
    const old = key === null ? there : [...element.children].find((e) => keyOf(e) === key);
    if (!old || old.nodeName !== child.nodeName || keyOf(old) !== key) {
      element.insertBefore(child, there ?? null);
      continue;
    }
    if (old !== there) element.insertBefore(old, there ?? null);
    liken(old, child);
  }
  while (element.childNodes.length > next.length) element.lastChild?.remove();
}

/** @param {Node} node */
const keyOf = (node) => /** @type {any} */ (node).getAttribute?.("data-key") ?? null;

/** @param {any} old @param {any} next */
function liken(old, next) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  const style = "style";
  for (const name of old.getAttributeNames()) {
    if (name !== style && !next.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name !== style && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  // As an attribute it would be barred by the page's own rules.
  if (old.style.cssText !== next.style.cssText) old.style.cssText = next.style.cssText;
  for (const name of LISTENERS) old[name] = next[name];
  renew(old, ...next.childNodes);
}

const SVG = "http://www.w3.org/2000/svg";

/** Strokes in a square of 24. */
const PATHS = {
  live: "M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z",
  timeline: "M3 7h18M3 12h10M16 12h5M3 17h6M12 17h9",
  cameras: "M4 8h10a2 2 0 0 1 2 2v5a2 2 0 0 1-2 2H4a1 1 0 0 1-1-1V9a1 1 0 0 1 1-1zM16 11.5l5-2.5v7l-5-2.5",
  storage: "M4 7c0-4 16-4 16 0v10c0 4-16 4-16 0zM4 7c0 4 16 4 16 0M4 12c0 4 16 4 16 0",
  users:
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c0-7 12-7 12 0M16 4.5a3.5 3.5 0 0 1 0 6.500M18 14c2 .7 3.500 2.500 3.500 6",
  system: "M3 12h4l3-8 4 16 3-8h4",
  play: "M7 4l13 8-13 8z",
  pause: "M7 4v16M17 4v16",
  back: "M17 5l-9 7 9 7zM6 5v14",
  forward: "M7 5l9 7-9 7zM18 5v14",
  less: "M5 12h14",
  more: "M5 12h14M12 5v14",
  calendar: "M4 6h16v14H4zM4 10h16M8 3v5M16 3v5",
  in: "M9 4H5v16h4M9 12h10",
  out: "M15 4h4v16h-4M15 12H5",
  save: "M12 4v11M7 10l5 5 5-5M4 20h16",
  photo: "M3 7h5l2-3h4l2 3h5v13H3zM12 17a4 4 0 1 0 0-8 4 4 0 0 0 0 8z",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  close: "M6 6l12 12M18 6L6 18",
  log: "M5 4h14v16H5zM8 8h8M8 12h8M8 16h5",
  table: "M4 5h16v14H4zM4 10h16M4 14.500h16M10 5v14",
  edit: "M5 19l1-4L16 5l3 3L9 18zM14 7l3 3",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  plus: "M12 5v14M5 12h14",
  leave: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  mark: "M6 21V4h11l-2.500 4 2.500 4H6",
  check: "M5 12.500l4.500 4.500L19 7",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  search: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500L21 21",
  help: "M9 9a3 3 0 1 1 4.500 2.600c-1.200.7-1.500 1.200-1.500 2.400M12 18v.5",
};

/**
 * A drawing that says nothing by itself: its button has a name.
 * @param {keyof typeof PATHS} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/**
 * A button with a drawing and a name.
 * @param {keyof typeof PATHS} drawing
 * @param {string} name
 * @param {(event: Event) => void} act
 * @param {boolean} [named] whether the name is shown too
 */
export function button(drawing, name, act, named = false) {
  return h(
    "button",
    {
      type: "button",
      class: named ? "plain" : "plain bare",
      title: named ? null : name,
      "aria-label": named ? null : name,
      onclick: act,
    },
    icon(drawing),
    named && h("span", {}, name),
  );
}
