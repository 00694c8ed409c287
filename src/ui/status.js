// The status page: asks /api/ every two seconds and shows what it says.

const PERIOD_MS = 2000;
const TICKS_PER_SECOND = 90000;

/** Makes an element with a class and children (strings become text). */
function element(name, className, ...children) {
  const e = document.createElement(name);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

/** Bytes for people, in the decimal units that disks are sold in. */
function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 999.5 && unit < units.length - 1) {
    n /= 1000;
    unit += 1;
  }
  return `${unit === 0 || n >= 99.95 ? n.toFixed(0) : n.toFixed(1)} ${units[unit]}`;
}

/** A span in 1/90,000 s for people. */
function duration(ticks) {
  const s = Math.max(0, Math.round(ticks / TICKS_PER_SECOND));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** A time in 1/90,000 s since 1970 in the recorder's time zone. */
function time(ticks, zone) {
  const options = { dateStyle: "medium", timeStyle: "medium", timeZone: zone };
  const date = new Date(ticks / (TICKS_PER_SECOND / 1000));
  try {
    return new Intl.DateTimeFormat(undefined, options).format(date);
  } catch {
    return date.toISOString();
  }
}

function facts(pairs) {
  const list = element("dl", "");
  for (const [name, value] of pairs) {
    if (value !== null) list.append(element("dt", "", name), element("dd", "", value));
  }
  return list;
}

function retention(stream) {
  const limits = [];
  if (stream.retainBytes !== null) limits.push(bytes(stream.retainBytes));
  if (stream.retainDays !== null) limits.push(`${stream.retainDays} days`);
  return limits.length ? limits.join(", ") : "as long as the disk has room";
}

function streamView(name, stream, api) {
  const [text, kind] = stream.recording
    ? ["recording", "good"]
    : stream.record
      ? ["not recording", "bad"]
      : ["off", "calm"];
  const view = element(
    "div",
    "stream",
    element("div", "stream-head", element("span", "stream-name", name), element("span", `state ${kind}`, text)),
  );
  if (!stream.recording && stream.record && stream.gap) {
    const since = duration(api.now90k - stream.gap.startTime90k);
    view.append(element("p", "reason", `For ${since}: ${stream.gap.detail} (${stream.state}).`));
  }
  const total = stream.totalDuration90k + stream.inProgressDuration90k;
  view.append(
    facts([
      ["Video", stream.video],
      ["Kept", `${bytes(stream.totalSampleFileBytes + stream.inProgressBytes)}, ${duration(total)}`],
      ["Since", stream.minStartTime90k === null ? null : time(stream.minStartTime90k, api.timeZoneName)],
      ["To keep", retention(stream)],
      ["Lost packets", stream.lostPackets ? String(stream.lostPackets) : null],
    ]),
  );
  return view;
}

function cameraView(camera, api) {
  const view = element("article", "card", element("h3", "", camera.shortName));
  if (camera.description) view.append(element("p", "", camera.description));
  for (const name of Object.keys(camera.streams).sort()) {
    view.append(streamView(name, camera.streams[name], api));
  }
  return view;
}

function diskView(disk) {
  const [text, kind] = !disk.ready ? ["away", "bad"] : disk.full ? ["full", "bad"] : ["in use", "good"];
  const view = element(
    "article",
    "card",
    element("div", "stream-head", element("h3", "", disk.path), element("span", `state ${kind}`, text)),
  );
  if (disk.trouble) view.append(element("p", "reason", `${disk.trouble}.`));
  if (disk.totalBytes) {
    const used = element("span", "");
    used.style.width = `${(100 * (disk.totalBytes - disk.freeBytes)) / disk.totalBytes}%`;
    view.append(element("p", "", `${bytes(disk.freeBytes)} of ${bytes(disk.totalBytes)} free`));
    view.append(element("div", "meter", used));
  }
  return view;
}

function troubles(api) {
  const all = [];
  if (!api.clockTrusted) {
    all.push("The clock is not set. Recording goes on; its times are put right when the clock is.");
  }
  if (api.databaseTrouble) {
    all.push(`The database takes nothing: ${api.databaseTrouble}. Recordings wait on the sample disks.`);
  }
  if (api.stopping) all.push("The recorder is being stopped.");
  return all;
}

function show(api) {
  const streams = api.cameras.flatMap((c) => Object.values(c.streams)).filter((s) => s.record);
  const recording = streams.filter((s) => s.recording).length;
  document.getElementById("summary").textContent = streams.length
    ? `${recording} of ${streams.length} streams recording`
    : "No cameras are set up";
  document.title = recording === streams.length ? "Moonfire NVR" : `(${streams.length - recording}) Moonfire NVR`;
  const bad = troubles(api);
  const section = document.getElementById("troubles");
  section.hidden = bad.length === 0;
  section.replaceChildren(...bad.map((t) => element("p", "trouble", t)));
  document.getElementById("cameras").replaceChildren(
    ...(api.cameras.length
      ? api.cameras.map((c) => cameraView(c, api))
      : [element("p", "", "Name cameras in the configuration file, then reload the recorder.")]),
  );
  document.getElementById("disks").replaceChildren(...api.sampleDirs.map(diskView));
  document.getElementById("version").textContent =
    `${api.serverVersion} · ${time(api.now90k, api.timeZoneName)} (${api.timeZoneName})`;
  showUser(api.user);
}

let shownUser = null;

/** Who is signed in; left as it is while nothing changes, as it has a button. */
function showUser(user) {
  const key = user ? JSON.stringify([user.name, user.session]) : "";
  if (key === shownUser) return;
  shownUser = key;
  document.getElementById("user").replaceChildren(...(user ? [` · ${user.name}`, ...signOut(user)] : []));
}

/** A button that ends the session, where there is one. */
function signOut(user) {
  if (!user.session) return [];
  const button = element("button", "", "Sign out");
  button.addEventListener("click", async () => {
    button.disabled = true;
    const body = JSON.stringify({ csrf: user.session.csrf });
    const headers = { "Content-Type": "application/json" };
    const reply = await fetch("/api/logout", { method: "POST", headers, body }).catch(() => null);
    if (reply?.ok) location.assign("/ui/login.html");
    else showFailure("You are still signed in: the recorder did not end the session.");
  });
  return [button];
}

/** The recorder wants to know who asks first, or has nobody yet who may. */
async function askWho(reply) {
  const isJson = reply.headers.get("Content-Type") === "application/json";
  const setup = isJson && (await reply.json()).setup === true;
  const link = element("a", "", setup ? "Make the administrator." : "Sign in.");
  link.href = setup ? "/ui/setup.html" : "/ui/login.html";
  showFailure(setup ? "The recorder is new. " : "What there is to see is for those who may see it. ", link);
  for (const id of ["cameras", "disks", "version"]) document.getElementById(id).replaceChildren();
  showUser(null);
}

function showFailure(...message) {
  const section = document.getElementById("troubles");
  section.hidden = false;
  section.replaceChildren(element("p", "trouble", ...message));
  document.getElementById("summary").textContent = "not known";
}

async function refresh() {
  try {
    const reply = await fetch("/api/", { signal: AbortSignal.timeout(5000) });
    if (reply.ok) show(await reply.json());
    else if (reply.status === 401) await askWho(reply);
    else showFailure(await reply.text());
  } catch {
    showFailure("The recorder does not answer. What is below is what it said last; this page goes on asking.");
  }
  setTimeout(refresh, document.hidden ? PERIOD_MS * 5 : PERIOD_MS);
}

refresh();
