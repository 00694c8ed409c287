// A month with the days on which something was recorded.

import { get } from "/ui/api.js";
import { button, h, say } from "/ui/dom.js";
import { duration } from "/ui/format.js";
import { S } from "/ui/strings.js";
import { addDays, civil, fromCivil, isoDate, longDate, monthName } from "/ui/time.js";

/**
 * @param {{uuid: string, kind: "main" | "sub"}[]} streams
 * @param {number} t a time of the month to show first
 * @param {(start: number, end: number) => void} choose
 */
export async function openCalendar(streams, t, choose) {
  /** How much was recorded by day, of all streams together. @type {Map<string, number>} */
  const days = new Map();
  const add = (/** @type {string} */ day, /** @type {number} */ amount) => days.set(day, (days.get(day) ?? 0) + amount);
  const title = h("h2", {});
  const grid = h("div", { class: "month" });
  const status = h("p", { class: "hint", role: "status" }, S.loading);
  const { year, month } = civil(t);
  let first = fromCivil(year, month, 1);

  const draw = () => {
    say(title, monthName(first));
    const c = civil(first);
    const next = fromCivil(c.year, c.month + 1, 1);
    // Weeks begin on Monday; 1 January 1970 was a Thursday.
    const lead = (Math.round(Date.UTC(c.year, c.month - 1, 1) / 86400000) + 3) % 7;
    const names = Array.from({ length: 7 }, (_, i) =>
      h("span", {}, new Intl.DateTimeFormat(undefined, { weekday: "narrow", timeZone: "UTC" }).format(Date.UTC(2024, 0, 1 + i))),
    );
    const cells = Array.from({ length: lead }, () => h("span", {}));
    for (let day = first; day < next; day = addDays(day, 1)) {
      const amount = days.get(isoDate(day)) ?? 0;
      const start = day;
      cells.push(
        h(
          "button",
          {
            type: "button",
            class: amount ? "plain has" : "plain",
            "aria-label": amount ? S.timeline.day(longDate(day), duration(amount)) : S.timeline.noDay(longDate(day)),
            "aria-current": isoDate(day) === isoDate(t) ? "date" : null,
            disabled: amount === 0,
            onclick: () => {
              dialog.close();
              choose(start, addDays(start, 1));
            },
          },
          civil(day).day,
        ),
      );
    }
    grid.replaceChildren(...names, ...cells);
  };
  const turn = (/** @type {number} */ n) => {
    const c = civil(first);
    first = fromCivil(c.year, c.month + n, 1);
    draw();
  };
  const dialog = h(
    "dialog",
    { onclose: () => dialog.remove() },
    h(
      "div",
      { class: "dialog-head" },
      h("h2", {}, S.timeline.calendar),
      button("close", S.close, () => dialog.close()),
    ),
    h(
      "div",
      { class: "month-head" },
      button("back", S.timeline.previousMonth, () => turn(-1)),
      title,
      button("forward", S.timeline.nextMonth, () => turn(1)),
    ),
    grid,
    status,
  );
  document.body.append(dialog);
  dialog.showModal();
  draw();
  try {
    for (const { uuid, kind } of streams) {
      const stream = (await get(`/api/cameras/${uuid}/`)).streams[kind];
      for (const [day, told] of Object.entries(stream?.days ?? {})) add(day, told.totalDuration90k);
      // The minute that is being recorded is in no day yet.
      if (stream?.lastFrameTime90k && stream.inProgressDuration90k) {
        add(isoDate(stream.lastFrameTime90k), stream.inProgressDuration90k);
      }
    }
    say(status, days.size ? "" : S.timeline.nothing);
    draw();
  } catch (e) {
    say(status, /** @type {Error} */ (e).message);
  }
}
