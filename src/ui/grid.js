// How many columns show the most of so many pictures.

const ASPECT = 16 / 9;
const GAP = 6;
/** On a narrow screen pictures smaller than this are below each other rather, in pixels. */
const NARROWEST = 260;

/**
 * Sets the grid's columns so that all of `n` pictures are as large as its place allows.
 * @param {HTMLElement} grid
 * @param {number} n
 * @param {number} [height] what it has; else what is left of the window
 */
export function layOut(grid, n, height = window.innerHeight - grid.getBoundingClientRect().top - window.scrollY - bottom()) {
  const width = grid.clientWidth;
  let best = { columns: 1, wide: 0 };
  for (let columns = 1; columns <= Math.max(1, n); columns += 1) {
    const rows = Math.ceil(n / columns);
    const across = (width - GAP * (columns - 1)) / columns;
    const down = ((height - GAP * (rows - 1)) / rows) * ASPECT;
    const wide = Math.min(across, down);
    if (wide > best.wide) best = { columns, wide };
  }
  // Where all of them would be stamps, the page is longer than the screen instead.
  const isTight = best.wide < Math.min(NARROWEST, width);
  const columns = isTight ? Math.max(1, Math.floor(width / NARROWEST)) : best.columns;
  const wide = isTight ? width / columns : best.wide;
  grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, ${Math.floor(wide)}px))`;
}

/** What the tabs below take on a phone. */
function bottom() {
  const tabs = document.querySelector("nav.tabs");
  const box = tabs?.getBoundingClientRect();
  return box && box.top > 0 ? box.height + GAP : GAP;
}
