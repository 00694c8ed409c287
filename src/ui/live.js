// The live page: a tile for each camera, the sub stream in the grid and the main stream when enlarged.

import { h, put, say } from "/ui/dom.js";
import { arrange } from "/ui/arrange.js";
import { empty } from "/ui/empty.js";
import { layOut } from "/ui/grid.js";
import { now90k, recorder, watch } from "/ui/state.js";
import { S } from "/ui/strings.js";
import { Tile } from "/ui/tile.js";

/** Where this browser remembers which camera comes where. */
const ORDER = "live-order";

/** @returns {string[]} */
function remembered() {
  try {
    const order = JSON.parse(localStorage.getItem(ORDER) ?? "[]");
    return Array.isArray(order) ? order : [];
  } catch {
    return [];
  }
}

/** @param {string[]} order */
function remember(order) {
  try {
    localStorage.setItem(ORDER, JSON.stringify(order));
  } catch {
    // A private window may keep nothing.
  }
}

/** Which camera is large. @type {((parameters: URLSearchParams) => boolean) | null} */
let enlarge = null;

/** @param {URLSearchParams} parameters */
export const moved = (parameters) => enlarge?.(parameters) ?? false;

/**
 * @param {HTMLElement} root
 * @param {URLSearchParams} parameters
 */
export function show(root, parameters) {
  /** @type {Map<string, Tile>} */
  const tiles = new Map();
  const grid = h("div", { class: "tiles", id: "tiles" });
  const spoken = h("p", { class: "spoken", role: "status" });
  const title = h("h1", { class: "spoken" }, S.live.title);
  const nothing = h("div", { class: "empty", hidden: true });
  root.append(title, spoken, nothing, grid);
  let large = parameters.get("camera");

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      tiles.get(/** @type {HTMLElement} */ (entry.target).dataset.camera ?? "")?.see(entry.isIntersecting);
    }
  });
  const hidden = () => {
    for (const tile of tiles.values()) tile.see(tile.isOnScreen());
  };
  document.addEventListener("visibilitychange", hidden);

  const fit = () => layOut(grid, [...tiles.values()].filter((t) => !t.element.hidden).length);
  const resized = new ResizeObserver(fit);
  resized.observe(root);

  enlarge = (to) => {
    large = to.get("camera");
    for (const [uuid, tile] of tiles) {
      tile.element.hidden = large !== null && tiles.has(large) && uuid !== large;
      tile.enlarge(uuid === large);
    }
    grid.classList.toggle("one", large !== null && tiles.has(large));
    fit();
    return true;
  };

  const order = () => [...grid.children].map((e) => /** @type {HTMLElement} */ (e).dataset.camera ?? "");
  arrange(grid, (uuid) => {
    remember(order());
    say(spoken, S.live.moved(tiles.get(uuid)?.camera.shortName ?? "", order().indexOf(uuid) + 1, tiles.size));
  });

  const look = () => {
    const { state } = recorder;
    if (!state) return;
    const cameras = state.cameras.filter((c) => !c.removed && Object.keys(c.streams).length > 0);
    const known = remembered();
    const place = (/** @type {string} */ uuid) => known.indexOf(uuid) + 1 || known.length + 1;
    let isChanged = false;
    for (const camera of [...cameras].sort((a, b) => place(a.uuid) - place(b.uuid))) {
      const tile = tiles.get(camera.uuid);
      if (tile) {
        tile.update(camera);
        continue;
      }
      const made = new Tile(camera);
      tiles.set(camera.uuid, made);
      grid.append(made.element);
      seen.observe(made.element);
      isChanged = true;
    }
    for (const [uuid, tile] of tiles) {
      if (cameras.some((c) => c.uuid === uuid)) continue;
      tile.end();
      tile.element.remove();
      tiles.delete(uuid);
      isChanged = true;
    }
    if (isChanged) {
      enlarge?.(new URLSearchParams(large ? { camera: large } : {}));
    }
    nothing.hidden = cameras.length > 0;
    if (cameras.length === 0 && !nothing.hasChildNodes()) put(nothing, empty());
  };
  const unwatch = watch(look);
  const clock = setInterval(() => {
    for (const tile of tiles.values()) tile.tick(now90k());
  }, 500);
  const escape = (/** @type {KeyboardEvent} */ e) => {
    if (e.key === "Escape" && large !== null && !document.fullscreenElement) {
      location.hash = "#live";
    }
  };
  document.addEventListener("keydown", escape);

  return () => {
    enlarge = null;
    unwatch();
    clearInterval(clock);
    seen.disconnect();
    resized.disconnect();
    document.removeEventListener("visibilitychange", hidden);
    document.removeEventListener("keydown", escape);
    for (const tile of tiles.values()) tile.end();
  };
}
