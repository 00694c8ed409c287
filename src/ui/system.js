// How the recorder itself fares.

import { h } from "/ui/dom.js";
import { facts } from "/ui/facts.js";
import { bytes, duration } from "/ui/format.js";
import { now90k, recorder, watch } from "/ui/state.js";
import { S } from "/ui/strings.js";
import { dateTime, zoneAbbreviation, zoneName } from "/ui/time.js";

/** @param {number} us */
const ms = (us) => `${(us / 1000).toFixed(1)} ms`;

/** @param {HTMLElement} root */
export function show(root) {
  const card = h("article", { class: "card" });
  root.append(
    h("div", { class: "page-head" }, h("h1", {}, S.system.title)),
    h("div", { class: "cards" }, card),
    h("p", {}, h("a", { href: "/metrics" }, S.system.metrics)),
  );
  return watch(() => {
    const { state } = recorder;
    if (!state) return;
    const r = state.reactor;
    card.replaceChildren(
      facts([
        [S.system.version, state.serverVersion],
        [S.system.time, `${dateTime(now90k())} ${zoneAbbreviation(now90k())}`],
        [S.system.zone, zoneName()],
        [S.system.longest, r && ms(r.longestTurnUs)],
        [S.system.recent, r && ms(r.longestRecentTurnUs)],
        [S.system.busy, r && duration(r.busyUs * 0.09)],
        [S.system.received, r && bytes(r.bytesReceived)],
        [S.system.sent, r && bytes(r.bytesSent)],
        [S.system.connections, r && r.connections],
        [S.system.disk, r && r.diskBackend],
      ]),
    );
  });
}
