// The live page: a tile for each camera, the sub stream in the grid and the main stream when tapped.

import { Player } from "/ui/player.js";

const LOOK_MS = 5000;
const TICKS_PER_SECOND = 90000;

const tiles = new Map();
const grid = document.getElementById("tiles");
const summary = document.getElementById("summary");

function since(ticks) {
  const s = Math.max(0, Math.round(ticks / TICKS_PER_SECOND));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

class Tile {
  constructor(camera) {
    this.camera = camera;
    this.large = false;
    this.element = document.createElement("button");
    this.element.className = "tile";
    this.element.type = "button";
    this.video = document.createElement("video");
    this.video.muted = true;
    this.video.playsInline = true;
    this.name = document.createElement("span");
    this.name.className = "tile-name";
    this.word = document.createElement("span");
    this.word.className = "tile-word";
    this.element.append(this.video, this.word, this.name);
    this.element.addEventListener("click", () => toggle(this));
    this.update(camera);
    this.play();
  }

  /** The stream to show: the small one in the grid, if there is one. */
  kind() {
    const { main, sub } = this.camera.streams;
    const wanted = this.large ? (main ?? sub) : (sub ?? main);
    return wanted === main ? "main" : "sub";
  }

  play() {
    this.player?.stop();
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const path = `/api/cameras/${this.camera.uuid}/${this.kind()}/live.m4s`;
    this.player = new Player(this.video, `${scheme}//${location.host}${path}`, (state, detail) => {
      this.state = state;
      this.detail = detail;
      this.show();
    });
  }

  stop() {
    this.player?.stop();
    this.player = null;
  }

  update(camera, now) {
    this.camera = camera;
    this.now = now;
    this.show();
  }

  show() {
    const stream = this.camera.streams[this.kind()];
    this.name.textContent = this.camera.shortName;
    const gone = stream && !stream.recording && stream.gap;
    let word = "";
    if (gone) word = `Away for ${since((this.now ?? 0) - stream.gap.startTime90k)}: ${stream.gap.detail}`;
    else if (this.state === "unsupported") word = `This browser cannot play ${this.detail}`;
    else if (this.state === "lost") word = "Connecting again…";
    else if (this.state === "waiting") word = "Waiting for the camera…";
    this.word.textContent = word;
    this.word.hidden = word === "";
    this.element.classList.toggle("away", Boolean(gone));
    const state = word || "live";
    this.element.setAttribute("aria-label", `${this.camera.shortName}: ${state}. ${this.large ? "Show all" : "Enlarge"}`);
  }
}

/** One camera large, or all of them. */
function toggle(tile) {
  tile.large = !tile.large;
  grid.classList.toggle("one", tile.large);
  for (const other of tiles.values()) {
    other.element.hidden = tile.large && other !== tile;
    if (other === tile) other.play();
    else if (tile.large) other.stop();
    else if (!other.player) other.play();
  }
}

async function look() {
  try {
    const reply = await fetch("/api/");
    if (reply.status === 401) {
      location.assign(`/ui/login.html?next=${encodeURIComponent(location.pathname)}`);
      return;
    }
    if (!reply.ok) throw new Error((await reply.text()).trim());
    const api = await reply.json();
    for (const camera of api.cameras) {
      const tile = tiles.get(camera.uuid);
      if (tile) {
        tile.update(camera, api.now90k);
      } else {
        const made = new Tile(camera);
        tiles.set(camera.uuid, made);
        grid.append(made.element);
        made.update(camera, api.now90k);
      }
    }
    for (const [uuid, tile] of tiles) {
      if (!api.cameras.some((c) => c.uuid === uuid)) {
        tile.stop();
        tile.element.remove();
        tiles.delete(uuid);
      }
    }
    const n = api.cameras.length;
    summary.textContent = n === 0 ? "No camera yet: name one in the configuration." : `${n} camera${n === 1 ? "" : "s"}`;
  } catch (e) {
    summary.textContent = `The recorder does not answer: ${e.message}`;
  }
}

// What nobody sees costs nothing.
document.addEventListener("visibilitychange", () => {
  for (const tile of tiles.values()) {
    if (document.hidden) tile.stop();
    else if (!tile.element.hidden) tile.play();
  }
});

await look();
setInterval(() => {
  if (!document.hidden) look();
}, LOOK_MS);
