// Reads the time that a simulated camera draws into its pictures, in the upper right corner.

/** Digits of 5 by 7 dots, as the camera draws them; bit 4 of each row is the leftmost dot. */
export const DIGITS = [
  [0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e],
  [0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e],
  [0x0e, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1f],
  [0x0e, 0x11, 0x01, 0x06, 0x01, 0x11, 0x0e],
  [0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02],
  [0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e],
  [0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e],
  [0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08],
  [0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e],
  [0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c],
];

/**
 * The time in milliseconds since 1970 (the cameras of the tests are in UTC), or `null` if there is none to be read.
 * It stands alone, as it also runs within a page.
 * @param {number} width of the picture
 * @param {number} height
 * @param {(x: number, y: number) => number} light from 0 to 255
 * @param {number[][]} digits
 */
export function readClock(width, height, light, digits) {
  const PATTERN = "dddd-dd-dd dd:dd:dd.dd";
  const dot = Math.max(1, Math.floor(height / 180));
  const margin = dot * 5;
  const left = width - (PATTERN.length * 6 - 1) * dot - margin;
  let text = "";
  for (let n = 0; n < PATTERN.length; n += 1) {
    if (PATTERN[n] !== "d") {
      text += PATTERN[n];
      continue;
    }
    const dots = Array.from({ length: 35 }, (_, i) => {
      const [x, y] = [left + (n * 6 + (i % 5) + 0.5) * dot, margin + (Math.floor(i / 5) + 0.5) * dot];
      return light(Math.floor(x), Math.floor(y)) > 165;
    });
    const off = digits.map(
      (rows) => dots.filter((isLit, i) => isLit !== (((rows[Math.floor(i / 5)] >> (4 - (i % 5))) & 1) === 1)).length,
    );
    const least = Math.min(...off);
    if (least > 4) return null;
    text += off.indexOf(least);
  }
  const ms = Date.parse(`${text.replace(" ", "T")}0Z`);
  return Number.isNaN(ms) ? null : ms;
}

/**
 * The time in the picture of the first element that `selector` finds, and of how old that makes it.
 * @param {import("puppeteer-core").Page} page
 * @param {string} selector of a `<video>` or `<img>`
 * @returns {Promise<{shown: number, now: number} | null>}
 */
export async function clockOf(page, selector) {
  // As text: a page of ours may make no functions of text itself.
  return /** @type {any} */ (
    page.evaluate(`(${look.toString()})(${JSON.stringify(selector)}, ${readClock.toString()}, ${JSON.stringify(DIGITS)})`)
  );
}

/**
 * Runs within the page.
 * @param {string} selector
 * @param {typeof readClock} read
 * @param {number[][]} digits
 */
function look(selector, read, digits) {
  const element = /** @type {any} */ (document.querySelector(selector));
  const width = element?.videoWidth ?? element?.naturalWidth ?? 0;
  const height = element?.videoHeight ?? element?.naturalHeight ?? 0;
  if (!width || (element.readyState ?? 4) < 2) return null;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, Math.ceil(height / 10)];
  const c = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  const now = Date.now();
  c.drawImage(element, 0, 0);
  const { data } = c.getImageData(0, 0, canvas.width, canvas.height);
  const shown = read(width, height, (x, y) => data[4 * (y * width + x) + 1], digits);
  return shown === null ? null : { shown, now };
}
