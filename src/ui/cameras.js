// The cameras: how each of their streams fares; adding, changing and removing them.

import { change, get, streamPath, url } from "/ui/api.js";
import { cameraForm } from "/ui/camera-form.js";
import { h, icon, put, renew, say } from "/ui/dom.js";
import { facts, stateWord } from "/ui/facts.js";
import { found } from "/ui/found.js";
import { confirmed, openDialog, trouble } from "/ui/form.js";
import { bitRate, bytes, duration, days, share } from "/ui/format.js";
import { empty } from "/ui/empty.js";
import { may, now90k, recorder, refresh, watch } from "/ui/state.js";
import { S } from "/ui/strings-manage.js";
import { date } from "/ui/time.js";

/** How often figures and pictures are asked for anew, in milliseconds. */
const FIGURES_MS = 10000;
const PICTURE_MS = 15000;
/** Pixels across of a picture. */
const WIDTH = 640;

/** @typedef {import("/ui/state.js").Stream} Stream */
/** @typedef {import("/ui/state.js").Camera} Camera */
/** @typedef {import("/ui/camera-form.js").Config} Config */
/** @typedef {import("/ui/camera-form.js").Hint} Hint */

/**
 * What is told of a stream beside its state: by `/api/system` and `/api/retention`.
 * @typedef {{bitsPerSecond?: number, lately?: {gaps: number, missingPercent: number, startTime90k: number, complete: boolean} | null}} Figures
 */

/** Asks for a camera to be added. @param {(uuid: string) => void} done @param {Hint} [hint] */
export function addCamera(done, hint) {
  const dialog = openDialog(S.camera.add, [], { wide: true, onClose: () => form.end() });
  const form = cameraForm(null, { hint, done: (uuid) => (dialog.close(), done(uuid)), cancel: () => dialog.close() });
  dialog.append(form.element);
  form.focus();
}

/** @param {Config} config @param {() => void} done */
function changeCamera(config, done) {
  const dialog = openDialog(config.shortName, [], { wide: true, onClose: () => form.end() });
  const form = cameraForm(config, { done: () => (dialog.close(), done()), cancel: () => dialog.close() });
  dialog.append(form.element);
}

/** @param {Stream} stream */
export function retention(stream) {
  const limits = [];
  if (stream.retainBytes !== null) limits.push(bytes(stream.retainBytes));
  if (stream.retainDays !== null) limits.push(days(stream.retainDays));
  return limits.length ? S.cameras.atMost(limits.join(", ")) : S.cameras.room;
}

class Card {
  /** @param {Camera} camera @param {{changed: () => void, tell: (sentence: string) => void}} hand */
  constructor(camera, hand) {
    this.camera = camera;
    this.hand = hand;
    /** @type {Config | null} */
    this.config = null;
    this.picturedAt = -Infinity;
    this.picture = h("img", {
      alt: "",
      hidden: true,
      onload: () => (this.picture.hidden = false),
      onerror: () => (this.picture.hidden = true),
    });
    this.name = h("h2", {});
    this.description = h("p", { class: "hint" });
    this.state = h("span", { class: "state" });
    this.streams = h("div", {});
    const x = S.cameras;
    this.live = h("a", { class: "plain", href: `#live?camera=${camera.uuid}` }, icon("live"), S.tabs.live);
    this.past = h("a", { class: "plain", href: `#timeline?cameras=${camera.uuid}` }, icon("timeline"), S.tabs.timeline);
    this.table = h(
      "a",
      { class: "plain bare", href: `#segments?camera=${camera.uuid}`, title: x.segments, "aria-label": x.segments },
      icon("table"),
    );
    this.edit = h(
      "button",
      { type: "button", class: "plain", onclick: () => this.config && changeCamera(this.config, hand.changed) },
      icon("edit"),
      x.change,
    );
    this.remove = h(
      "button",
      { type: "button", class: "plain bare", title: x.remove, onclick: () => this.askToRemove() },
      icon("trash"),
    );
    this.inFile = h("p", { class: "hint", hidden: true }, x.inFile);
    this.element = h(
      "article",
      { class: "card camera-card" },
      h(
        "a",
        { class: "thumb", href: `#live?camera=${camera.uuid}`, tabIndex: -1, "aria-hidden": "true" },
        icon("cameras"),
        this.picture,
      ),
      h("div", { class: "card-head" }, this.name, this.state),
      this.description,
      this.streams,
      h("div", { class: "form-end" }, this.live, this.past, this.table, this.edit, this.remove),
      this.inFile,
    );
  }

  /** @param {Camera} camera @param {Config | null} config @param {Record<string, Figures>} figures */
  update(camera, config, figures) {
    this.camera = camera;
    this.config = config;
    const streams = Object.entries(camera.streams).sort();
    say(this.name, camera.shortName);
    say(this.description, camera.description);
    this.description.hidden = camera.description === "";
    const wanted = streams.filter(([, s]) => s.record);
    const good = wanted.filter(([, s]) => s.recording);
    const x = S.cameras;
    const [word, kind] = camera.removed
      ? [x.removed, "calm"]
      : wanted.length === 0
        ? [x.off, "calm"]
        : good.length === wanted.length
          ? [x.recording, "good"]
          : good.length
            ? [x.partly, "bad"]
            : [x.notRecording, "bad"];
    say(this.state, word);
    this.state.className = `state ${kind}`;
    this.live.hidden = camera.removed;
    const isChangeable = config !== null && !config.inFile && !camera.removed && may("configure");
    this.edit.hidden = this.remove.hidden = !isChangeable;
    this.remove.setAttribute("aria-label", x.removeNamed(camera.shortName));
    this.edit.setAttribute("aria-label", x.changeNamed(camera.shortName));
    this.inFile.hidden = !(config?.inFile && may("configure"));
    this.draw(streams, figures);
    this.lookAt();
  }

  /** @param {[string, Stream][]} streams @param {Record<string, Figures>} figures */
  draw(streams, figures) {
    const parts = streams.map(([name, stream]) => this.part(name, stream, figures[name] ?? {}));
    renew(this.streams, ...parts);
  }

  /** @param {string} name @param {Stream} stream @param {Figures} told */
  part(name, stream, told) {
    const x = S.cameras;
    const word = stream.recording
      ? stateWord(x.recording, "good")
      : stream.record
        ? stateWord(x.notRecording, "bad")
        : stateWord(x.off, "calm");
    const gap = !stream.recording && stream.record && stream.gap;
    const { lately } = told;
    const size = bytes(stream.totalSampleFileBytes + stream.inProgressBytes);
    const length = duration(stream.totalDuration90k + stream.inProgressDuration90k);
    return h(
      "div",
      { class: "part" },
      h(
        "div",
        { class: "card-head" },
        h("span", { class: "part-name" }, name === "main" ? S.camera.mainStream : S.camera.subStream),
        word,
      ),
      gap &&
        h("p", { class: "reason" }, x.reason(duration(Math.round((now90k() - gap.startTime90k) / 900000) * 900000), gap.detail)),
      facts([
        [
          x.video,
          stream.video &&
            [stream.video.split(" ")[0].replace("x", " × "), told.bitsPerSecond && bitRate(told.bitsPerSecond)]
              .filter(Boolean)
              .join(", "),
        ],
        [x.kept, `${size}, ${length}`],
        [x.since, stream.minStartTime90k === null ? null : date(stream.minStartTime90k)],
        [x.toKeep, this.camera.removed ? null : retention(stream)],
        [
          lately?.complete === false ? x.missingSince(date(lately.startTime90k)) : x.missing,
          lately
            ? h("span", { class: lately.missingPercent > 1 ? "worse" : null }, x.gaps(share(lately.missingPercent), lately.gaps))
            : null,
        ],
        [x.lost, stream.lostPackets || null],
      ]),
    );
  }

  /** A new picture now and then, while somebody looks. */
  lookAt() {
    const now = performance.now();
    const kind = this.camera.streams.sub?.recording ? "sub" : this.camera.streams.main?.recording ? "main" : null;
    const box = this.element.getBoundingClientRect();
    const isSeen = box.bottom > 0 && box.top < window.innerHeight && !document.hidden;
    if (!kind || !may("viewLive") || !isSeen || now - this.picturedAt < PICTURE_MS) {
      return;
    }
    this.picturedAt = now;
    this.picture.src = url(`${streamPath(this.camera.uuid, kind)}/snapshot.jpg`, { width: WIDTH, at: Math.round(now) });
  }

  async askToRemove() {
    const x = S.cameras;
    const answer = await confirmed({
      title: x.removeNamed(this.camera.shortName),
      text: x.removeText,
      act: x.remove,
      choices: [
        ["keep", x.keep, x.keepLong],
        ["delete", x.delete, x.deleteLong],
      ],
    });
    if (answer === null) return;
    try {
      await change("DELETE", url(`/api/cameras/${this.camera.uuid}/`, { recordings: answer }));
      this.hand.tell("");
    } catch (e) {
      this.hand.tell(/** @type {Error} */ (e).message);
    }
    await refresh();
    this.hand.changed();
  }
}

/** @param {HTMLElement} root @param {URLSearchParams} parameters */
export function show(root, parameters) {
  /** @type {Map<string, Card>} */
  const cards = new Map();
  /** @type {Map<string, Config>} */
  let configs = new Map();
  /** @type {Map<string, Record<string, Figures>>} */
  let figures = new Map();
  let isEnded = false;
  const wrong = trouble();
  const grid = h("div", { class: "cards" });
  const around = h("div", { class: "around" });
  const nothing = h("div", { class: "empty" });
  const add = h("button", { type: "button", hidden: true, onclick: () => addCamera(() => load()) }, icon("plus"), S.addCamera);
  root.append(
    h("div", { class: "page-head" }, h("h1", {}, S.cameras.title), h("div", { class: "tools" }, add)),
    wrong.element,
    nothing,
    grid,
    around,
  );

  const load = async () => {
    const [told, system] = await Promise.allSettled([may("readCameraConfigs") ? get("/api/cameras/") : null, get("/api/system")]);
    if (isEnded) return;
    if (told.status === "fulfilled" && told.value) {
      configs = new Map(told.value.cameras.map((/** @type {Config} */ c) => [c.uuid, c]));
    }
    if (system.status === "fulfilled") {
      figures = new Map(system.value.cameras.map((/** @type {any} */ c) => [c.uuid, c.streams]));
    }
    look();
  };
  const look = () => {
    const cameras = recorder.state?.cameras ?? [];
    add.hidden = !may("configure") || cameras.length === 0;
    for (const camera of cameras) {
      let card = cards.get(camera.uuid);
      if (!card) {
        card = new Card(camera, { changed: load, tell: wrong.tell });
        cards.set(camera.uuid, card);
        grid.append(card.element);
      }
      card.update(camera, configs.get(camera.uuid) ?? null, figures.get(camera.uuid) ?? {});
    }
    for (const [uuid, card] of cards) {
      if (cameras.some((c) => c.uuid === uuid)) continue;
      card.element.remove();
      cards.delete(uuid);
    }
    nothing.hidden = cameras.length > 0;
    if (!cameras.length && !nothing.hasChildNodes()) put(nothing, empty());
  };
  const unwatch = watch(look);
  load();
  const timer = setInterval(() => !document.hidden && load(), FIGURES_MS);
  const endFound = may("configure") ? found(around) : () => {};
  if (parameters.has("new") && may("configure")) addCamera(load);
  return () => {
    isEnded = true;
    clearInterval(timer);
    endFound();
    unwatch();
  };
}
