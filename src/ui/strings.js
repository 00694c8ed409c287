// What the page says, in one place: a translation is another such file.

/** @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

/** @param {string} s */
export const sentence = (s) => (s === "" ? "" : `${s[0].toUpperCase()}${s.slice(1)}${/[.!?]$/.test(s) ? "" : "."}`);

/** What a status means for the recordings, and what to do. @type {Record<number, string>} */
const MEANING = {
  0: "The recorder does not answer. If it runs, it goes on recording; this page asks again by itself. If it stays like this, look whether the recorder has power and network.",
  401: "Sign in to go on. Recording is not concerned.",
  403: "Recording is not concerned. An administrator can allow it, under Users.",
  404: "It may have been removed, or deleted to make room for newer recordings.",
  409: "Nothing was changed.",
  429: "Wait, then try again. Recording is not concerned.",
  500: "Recording goes on. Try again; if it stays like this, look at the log under System.",
  503: "Recording goes on. Try again in a little while.",
  507: "The recorder's flash is full: nothing can be changed until there is room on it. Recordings are kept on the sample disks meanwhile.",
};

export const S = {
  name: "Moonfire NVR",
  sentence,
  titles: /** @type {Record<string, string>} */ ({
    live: "Live",
    timeline: "Timeline",
    cameras: "Cameras",
    storage: "Storage",
    users: "Users",
    system: "System",
    log: "Log",
    segments: "Recordings",
    welcome: "Welcome",
    setup: "Welcome",
  }),
  streams: /** @type {Record<string, string>} */ ({ main: "main", sub: "sub" }),
  tabs: { live: "Live", timeline: "Timeline", cameras: "Cameras", storage: "Storage", users: "Users", system: "System" },
  navigation: "Pages",
  skip: "Skip to the content",
  /** @param {number} status @param {string} said @param {number} wait */
  refusal: (status, said, wait) =>
    [sentence(said), wait ? `Try again in ${count(wait, "second")}.` : "", MEANING[status] ?? ""].filter(Boolean).join(" ") ||
    `The recorder refuses this (${status}).`,
  stale: "What you see is what it said last.",
  connecting: "Asking the recorder…",
  loading: "Loading…",
  close: "Close",
  cancel: "Cancel",
  save: "Save",
  saved: "Saved.",
  remove: "Remove",
  none: "none",
  away: "away",
  clockUntrusted:
    "The recorder's clock is not set. It records; times are put right when the clock is. See that it reaches a time server.",
  /** @param {string} why */
  databaseTrouble: (why) =>
    `The database takes nothing (${why}). Nothing is lost yet: recordings wait on the sample disks. Look at the flash the database is on.`,
  stopping: "The recorder is being stopped. Nothing is recorded until it is started again.",
  /** @param {string} path @param {string} why */
  diskTrouble: (path, why) => `The disk at ${path} is away (${why}). Its cameras are not recorded until it is back.`,
  noCameras: "No camera yet",
  noCamerasLong: "Add the first one: you need its address, and mostly a user and password.",
  noCamerasMayNot: "An administrator adds cameras, under Cameras or in the configuration file.",
  addCamera: "Add a camera",

  sign: {
    in: "Sign in",
    out: "Sign out",
    failedOut: "You are still signed in: the recorder did not end the session.",
    username: "User name",
    password: "Password",
    again: "The password again",
    differ: "The two passwords differ.",
    forgotten: "An administrator sets a forgotten password anew, under Users; so does “moonfire-nvr login” on the recorder.",
    first: "Welcome",
    firstLong: "This recorder is new. Make the administrator, who may do everything. Nothing is shown to anybody before that.",
    hint: "At least 8 characters. A few words in a row are easy to remember and hard to guess.",
    make: "Make the administrator",
    visitor: "Not signed in",
  },

  live: {
    title: "Live",
    live: "live",
    waiting: "Waiting for the camera…",
    lost: "Connecting again…",
    paused: "Paused",
    /** @param {string} codec */
    unsupported: (codec) =>
      `This browser cannot play this camera's video (${codec}). It is recorded all the same. Set the camera's sub stream to H.264 to see it here.`,
    fallback: "This browser cannot play the other stream; this is the one it can.",
    off: "Not recorded, so not shown",
    away: "Camera away",
    /** @param {string} since */
    since: (since) => `since ${since}`,
    /** @param {string} detail */
    why: (detail) => `${sentence(detail)} Nothing is recorded meanwhile.`,
    /** @param {string} s */
    delay: (s) => `${s} s`,
    /** @param {string} s */
    delayLong: (s) => `${s} seconds behind`,
    /** @param {string} name */
    enlarge: (name) => `${name}: enlarge`,
    /** @param {string} name */
    shrink: (name) => `${name}: show all cameras`,
    fullScreen: "Full screen",
    recordings: "Recordings",
    /** @param {string} name @param {number} at @param {number} of */
    moved: (name, at, of) => `${name} is now number ${at} of ${of}.`,
    arrange: "Drag to arrange, or Shift and an arrow key.",
    /** @param {number} n @param {number} good */
    summary: (n, good) => (n === good ? count(n, "camera") : `${good} of ${count(n, "camera")} there`),
  },

  timeline: {
    title: "Timeline",
    play: "Play",
    pause: "Pause",
    frameBack: "One frame back",
    frameForward: "One frame on",
    speed: "Speed",
    /** @param {number} rate */
    rate: (rate) => ({ 0.25: "¼×", 0.5: "½×" })[rate] ?? `${rate}×`,
    zoomIn: "Zoom in",
    zoomOut: "Zoom out",
    spans: { hour: "Hour", day: "Day", week: "Week", all: "All" },
    now: "Now",
    calendar: "Calendar",
    previousMonth: "Month before",
    nextMonth: "Month after",
    /** @param {string} date @param {string} amount */
    day: (date, amount) => `${date}, ${amount} recorded`,
    /** @param {string} date */
    noDay: (date) => `${date}, nothing recorded`,
    strip: "Time line of the chosen cameras",
    stripHelp: "Arrow keys move by a hundredth of what is shown, Page up and down by a tenth; plus and minus zoom.",
    cameras: "Cameras",
    choose: "Choose a camera above to see its recordings.",
    nothing: "Nothing recorded yet",
    noPicture: "No recording",
    future: "Not yet",
    before: "Nothing was kept from then: it is from before the camera was added, or it made room for newer recordings.",
    reading: "Reading…",
    /** @param {string} codec */
    unsupported: (codec) => `This browser cannot play ${codec}. Export it, or choose another stream of the camera.`,
    fallback: "The other stream: this browser cannot play the one asked for.",
    markIn: "Mark the beginning",
    markOut: "Mark the end",
    clearMarks: "Forget the marks",
    export: "Export",
    snapshot: "Save this picture",
    full: "Full screen",
    keys: "Keys",
    keyList: [
      ["Space", "play, pause"],
      ["← →", "10 seconds; with Shift a minute"],
      [", .", "one frame"],
      ["↑ ↓", "faster, slower"],
      ["+ −", "zoom"],
      ["[ ]", "the recording before, after"],
      ["< >", "the event before, after"],
      ["I O", "mark the beginning, the end"],
      ["E", "export"],
      ["S", "save the picture"],
      ["C", "calendar"],
      ["N", "now"],
    ],
    /** @type {Record<string, string>} */
    causes: {
      camera: "the camera",
      network: "the network",
      disk: "a disk",
      restart: "a restart",
      crash: "a crash or power failure",
      clock: "the clock",
      user: "recording was off",
      unknown: "not known",
    },
    /** @param {string} cause @param {string} detail @param {string} from @param {string} to */
    gap: (cause, detail, from, to) => `${from} – ${to}: ${cause}. ${sentence(detail)}`,
    motion: "motion",
  },

  export: {
    title: "Export",
    from: "From",
    to: "To",
    cameras: "Cameras",
    stream: "Stream",
    main: "Main (best picture)",
    sub: "Sub (small)",
    subtitles: "Times as subtitles",
    sizing: "Working out the size…",
    /** @param {string} size @param {string} length */
    size: (size, length) => `${size}, ${length} of video`,
    /** @param {string} size @param {number} files */
    total: (size, files) =>
      `${count(files, "file")}, ${size} in all. You may go on with other things while ${files === 1 ? "it is" : "they are"} downloaded.`,
    nothing: "Nothing was recorded between these times.",
    wrong: "The end must be after the beginning.",
    tooMany: "That is in too many pieces for one file. Choose a shorter time.",
    link: "Link to this file",
    all: "Download",
    downloads: "Downloads",
    waits: "Waits for the one before it",
    /** @param {string} name */
    cancel: (name) => `Cancel ${name}`,
    again: "Go on",
    /** @param {string} got @param {string} all */
    progress: (got, all) => `${got} of ${all}`,
    byBrowser: "It is large: the browser saves it, and shows how far it is.",
    interrupted: "Interrupted; going on in a moment…",
    failed: "What has come is kept: it can go on from there.",
    /** @param {string} n */
    saved: (n) => `Saved, ${n}.`,
  },
};
