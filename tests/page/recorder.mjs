// A recorder and simulated cameras, each with ports and a folder of its own, ended with the program.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const TOP = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const BINARY = process.env.MOONFIRE_NVR ?? join(process.env.CARGO_TARGET_DIR ?? join(TOP, "target"), "debug/moonfire-nvr");

/** How long anything may take on a busy machine, in milliseconds. */
export const PATIENCE_MS = 60000;

export const CAMERA_USER = "admin";
export const CAMERA_PASSWORD = "demonstration";

/**
 * Looks again and again until there is something.
 * @template T
 * @param {string} what what is waited for, told if it does not come
 * @param {() => Promise<T | false | null | undefined> | T | false | null | undefined} look
 * @returns {Promise<T>}
 */
export async function until(what, look, patienceMs = PATIENCE_MS) {
  const end = performance.now() + patienceMs;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > end) throw new Error(`waited in vain for: ${what}`);
    await new Promise((ok) => setTimeout(ok, 100));
  }
}

/** A port that nobody had a moment ago. @returns {Promise<number>} */
async function freePort() {
  const server = createServer();
  await new Promise((ok) => server.listen(0, "127.0.0.1", () => ok(null)));
  const port = /** @type {import("node:net").AddressInfo} */ (server.address()).port;
  await new Promise((ok) => server.close(() => ok(null)));
  return port;
}

/** Everything that was started, to be ended. @type {Set<import("node:child_process").ChildProcess>} */
const children = new Set();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) process.once(signal, () => process.exit(1));

/** @param {string[]} args @param {Record<string, string>} [env] */
function start(args, env = {}) {
  const child = spawn(BINARY, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  children.add(child);
  let told = "";
  child.stderr.on("data", (data) => {
    told = (told + data).slice(-20000);
  });
  child.once("exit", () => children.delete(child));
  return { child, told: () => told };
}

/** @param {import("node:child_process").ChildProcess} child @param {NodeJS.Signals} signal */
async function ended(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((ok) => child.once("exit", ok));
  child.kill(signal);
  await gone;
}

/** A camera made of software that draws its own pictures, with the time in them. */
export class Camera {
  /** @param {string} name @param {"driveway" | "garden"} scene @param {number} port @param {string} [host] */
  constructor(name, scene, port, host = "127.0.0.1") {
    this.name = name;
    this.scene = scene;
    this.port = port;
    this.host = host;
    /** Where it speaks ONVIF, if it does. */
    this.onvif = "";
  }

  /** @param {string} name @param {"driveway" | "garden"} [scene] */
  static async start(name, scene = "driveway") {
    const camera = new Camera(name, scene, await freePort());
    await camera.comeBack();
    return camera;
  }

  /**
   * One that can be found: it speaks ONVIF and answers who looks for cameras on this machine's loopback network.
   * @param {string} name @param {"driveway" | "garden"} scene @param {string} host
   */
  static async startFindable(name, scene, host) {
    const camera = new Camera(name, scene, 8554, host);
    camera.onvif = `${host}:8000`;
    await camera.comeBack();
    return camera;
  }

  get address() {
    return `${this.host}:${this.port}`;
  }

  /** @param {"main" | "sub"} kind */
  url(kind) {
    return `rtsp://${this.address}/${kind}`;
  }

  async comeBack() {
    const args = ["simulate-camera", "--listen", this.address, "--name", this.name, "--scene", this.scene];
    // Its serial number comes from the seed: two of one number are taken for one.
    if (this.onvif) args.push("--onvif", this.onvif, "--seed", this.host.split(".").join(""));
    this.running = start([...args, "--username", CAMERA_USER, "--password", CAMERA_PASSWORD], { TZ: "UTC" });
    const { child, told } = this.running;
    const lines = createInterface({ input: /** @type {import("node:stream").Readable} */ (child.stdout) });
    await new Promise((ok, bad) => {
      lines.once("line", ok);
      child.once("exit", () => bad(new Error(`the camera ended: ${told()}`)));
    });
  }

  async goAway() {
    if (this.running) await ended(this.running.child, "SIGKILL");
  }
}

export class Recorder {
  /** @param {string} folder @param {number} port */
  constructor(folder, port) {
    this.folder = folder;
    this.port = port;
  }

  /**
   * A recorder that nobody has set up yet, or, with `visitors`, one that shows everything to everybody.
   * @param {{visitors?: boolean, cameras?: Camera[], extra?: string}} [options]
   */
  static async start({ visitors = false, cameras = [], extra = "" } = {}) {
    const recorder = new Recorder(mkdtempSync(join(tmpdir(), "moonfire-page-")), await freePort());
    for (const name of ["db", "sample"]) mkdirSync(join(recorder.folder, name));
    const allow = visitors ? 'allow_unauthenticated = ["view_live", "view_recordings"]\n' : "";
    const of = (/** @type {Camera} */ camera) =>
      `\n[[camera]]\nname = "${camera.name}"\nusername = "${CAMERA_USER}"\npassword = "${CAMERA_PASSWORD}"\n` +
      `[camera.main]\nurl = "${camera.url("main")}"\nretain = "1 GB"\n[camera.sub]\nurl = "${camera.url("sub")}"\nretain = "200 MB"\n`;
    writeFileSync(
      recorder.config,
      `db_dir = "${join(recorder.folder, "db")}"\nsample_dirs = ["${join(recorder.folder, "sample")}"]\n` +
        `time_zone = "Europe/Zurich"\n${extra}\n[[http]]\nlisten = "0.0.0.0:${recorder.port}"\n${allow}` +
        `\n[[http]]\nlisten = "unix:${join(recorder.folder, "socket")}"\nowner_is_administrator = true\n${cameras.map(of).join("")}`,
    );
    const { child, told } = start(["init", "--config", recorder.config]);
    const code = await new Promise((ok) => child.once("exit", ok));
    if (code !== 0) throw new Error(`no database could be made: ${told()}`);
    await recorder.goOn();
    return recorder;
  }

  get config() {
    return join(this.folder, "moonfire-nvr.toml");
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async goOn() {
    // The page as it is in the folder: no need to build anew after each change of it.
    this.running = start(["run", "--config", this.config], { MOONFIRE_NVR_UI: join(TOP, "src/ui") });
    const { child, told } = this.running;
    await until("the recorder to answer", async () => {
      if (child.exitCode !== null) throw new Error(`the recorder ended: ${told()}`);
      return fetch(`${this.url}/healthz`).then(
        (r) => r.ok,
        () => false,
      );
    });
  }

  /** Ends in good order; it can go on. */
  async pause() {
    if (this.running) await ended(this.running.child, "SIGTERM");
  }

  async end() {
    await this.pause();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
