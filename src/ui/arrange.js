// Changing the order of a grid's children, by dragging and by keyboard.

/** A drag begins after so many pixels; less is a click. */
const FAR = 8;
/** A finger that rests so long means to drag; one that moves sooner scrolls. In milliseconds. */
const REST_MS = 350;

/**
 * @param {HTMLElement} grid its children have `data-camera`
 * @param {(uuid: string) => void} onMoved told after each move
 */
export function arrange(grid, onMoved) {
  /** @type {{child: HTMLElement, x: number, y: number, ready: boolean, dragging: boolean, timer: number} | null} */
  let held = null;

  grid.addEventListener("pointerdown", (e) => {
    const child = /** @type {HTMLElement} */ (e.target).closest("[data-camera]");
    if (!(child instanceof HTMLElement) || e.button !== 0 || grid.children.length < 2 || grid.classList.contains("one")) {
      return;
    }
    const isTouch = e.pointerType === "touch";
    held = { child, x: e.clientX, y: e.clientY, ready: !isTouch, dragging: false, timer: 0 };
    if (isTouch) {
      held.timer = setTimeout(() => held && begin(e.pointerId), REST_MS);
    }
  });
  grid.addEventListener("pointermove", (e) => {
    if (!held) return;
    const far = Math.hypot(e.clientX - held.x, e.clientY - held.y) > FAR;
    if (!held.ready) return far ? drop() : undefined;
    if (!held.dragging && far) begin(e.pointerId);
    if (held.dragging) over(e.clientX, e.clientY);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    grid.addEventListener(end, drop);
  }
  grid.addEventListener("touchmove", (e) => held?.dragging && e.preventDefault(), { passive: false });
  grid.addEventListener("contextmenu", (e) => held?.dragging && e.preventDefault());
  // What ends a drag is no click.
  grid.addEventListener(
    "click",
    (e) => {
      if (!justDropped) return;
      e.preventDefault();
      e.stopPropagation();
    },
    { capture: true },
  );

  let justDropped = false;

  /** @param {number} pointer */
  function begin(pointer) {
    if (!held) return;
    held.ready = held.dragging = true;
    held.child.classList.add("held");
    grid.setPointerCapture(pointer);
  }

  /** @param {number} x @param {number} y */
  function over(x, y) {
    const other = document
      .elementsFromPoint(x, y)
      .map((e) => e.closest("[data-camera]"))
      .find((e) => e && e !== held?.child);
    if (!held || !other || other.parentElement !== grid) return;
    const all = [...grid.children];
    const isBefore = all.indexOf(other) < all.indexOf(held.child);
    grid.insertBefore(held.child, isBefore ? other : other.nextSibling);
  }

  function drop() {
    if (!held) return;
    clearTimeout(held.timer);
    held.child.classList.remove("held");
    if (held.dragging) {
      justDropped = true;
      setTimeout(() => (justDropped = false));
      onMoved(held.child.dataset.camera ?? "");
    }
    held = null;
  }

  grid.addEventListener("keydown", (e) => {
    const child = /** @type {HTMLElement} */ (e.target).closest("[data-camera]");
    const steps = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
    const step = steps[/** @type {keyof typeof steps} */ (e.key)];
    if (!(child instanceof HTMLElement) || !e.shiftKey || !step) return;
    e.preventDefault();
    const other = step < 0 ? child.previousElementSibling : child.nextElementSibling;
    if (!other) return;
    const focused = /** @type {HTMLElement} */ (e.target);
    grid.insertBefore(child, step < 0 ? other : other.nextSibling);
    focused.focus();
    onMoved(child.dataset.camera ?? "");
  });
}
