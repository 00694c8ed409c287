// What is plugged into an appliance: taking a disk into use, emptying one, letting one go.

import { change, get } from "/ui/api.js";
import { h, put, renew } from "/ui/dom.js";
import { stateWord } from "/ui/facts.js";
import { confirmed, trouble } from "/ui/form.js";
import { bytes } from "/ui/format.js";
import { showJob } from "/ui/machine.js";
import { S } from "/ui/strings-manage.js";

/** How often it is looked for what is plugged in, in milliseconds. */
const LOOK_MS = 5000;

/**
 * @typedef {{id: string, sizeBytes: number, fileSystem: string | null, label: string | null, mountedAt: string | null,
 *   freeBytes: number | null, sampleDisk: boolean, recordings: number | null}} Partition
 * @typedef {{id: string, model: string, serial: string, sizeBytes: number, transport: string, system: boolean, state: string,
 *   confirm: string, partitions: Partition[]}} Plugged
 */

/** Fills `root` with the disks; returns how to end that. @param {HTMLElement} root */
export function plugged(root) {
  const x = S.disks;
  const list = h("div", { class: "cards wide" });
  const job = h("div", {});
  const wrong = trouble();
  put(root, h("h2", {}, x.title), wrong.element, job, list);
  let isEnded = false;
  let isBusy = false;
  let drawn = "";

  /** @param {Plugged} disk @param {"format" | "mount" | "unmount"} action */
  const act = async (disk, action) => {
    if (action === "format") {
      const what = disk.state === "empty" ? x.emptyLong : x.formatLong(contents(disk));
      const answer = await confirmed({
        title: x.formatTitle(disk.model, bytes(disk.sizeBytes)),
        text: what,
        act: x.format,
        tick: disk.state === "empty" ? undefined : x.tick,
      });
      if (answer === null) return;
    }
    if (
      action === "unmount" &&
      (await confirmed({ title: x.unmountTitle(disk.model), text: x.unmountLong, act: x.unmount })) === null
    ) {
      return;
    }
    wrong.tell("");
    isBusy = true;
    draw([]);
    try {
      const told = await change("POST", "/api/appliance/disks", { action, disk: disk.id, confirm: disk.confirm });
      if (told?.job) await showJob(job, told.job);
    } catch (e) {
      wrong.tell(/** @type {Error} */ (e).message);
    }
    isBusy = false;
    drawn = "";
    look();
  };
  /** @param {Plugged} disk */
  const contents = (disk) => {
    // One without partitions is listed as its own only one.
    const all = disk.partitions.filter((p) => p.id !== disk.id || p.fileSystem);
    return all.map((p) => [p.label, p.fileSystem, bytes(p.sizeBytes)].filter(Boolean).join(", ")).join("; ") || S.none;
  };
  /** @param {Plugged} disk */
  const view = (disk) => {
    const kind = disk.state === "inUse" ? "good" : disk.state === "readOnly" ? "bad" : "calm";
    const button = (/** @type {"format" | "mount" | "unmount"} */ action, isMain = false) =>
      h(
        "button",
        {
          type: "button",
          class: isMain ? null : "plain",
          disabled: isBusy,
          "aria-label": `${x[action]}: ${disk.model}`,
          onclick: () => act(disk, action),
        },
        x[action],
      );
    return h(
      "article",
      { class: "card", "data-key": disk.id },
      h("div", { class: "card-head" }, h("h3", {}, disk.model || disk.id), stateWord(x.states[disk.state] ?? disk.state, kind)),
      h(
        "p",
        { class: "hint" },
        [bytes(disk.sizeBytes), x.transports[disk.transport] ?? disk.transport, disk.serial].filter(Boolean).join(" · "),
      ),
      h("p", { class: "hint" }, x.on(contents(disk))),
      h("p", { class: "hint" }, x.means[disk.state] ?? ""),
      !disk.system &&
        h(
          "div",
          { class: "form-end" },
          disk.state === "ready" && button("mount", true),
          disk.state === "inUse" && button("unmount"),
          (disk.state === "empty" || disk.state === "other") && button("format", true),
          disk.state === "ready" && button("format"),
        ),
    );
  };
  /** @param {Plugged[]} disks */
  const draw = (disks) => {
    if (isBusy && list.hasChildNodes()) {
      for (const b of list.querySelectorAll("button")) b.disabled = true;
      return;
    }
    const key = JSON.stringify(disks);
    if (key === drawn) return;
    drawn = key;
    renew(list, ...disks.map(view), !disks.some((d) => !d.system) && h("p", { class: "hint" }, x.nothing));
  };
  const look = async () => {
    if (isBusy || document.hidden) return;
    try {
      const { disks } = await get("/api/appliance/disks");
      if (isEnded || isBusy) return;
      draw(disks);
    } catch (e) {
      if (!isEnded) wrong.tell(/** @type {Error} */ (e).message);
    }
  };
  look();
  const timer = setInterval(look, LOOK_MS);
  return () => {
    isEnded = true;
    clearInterval(timer);
  };
}
