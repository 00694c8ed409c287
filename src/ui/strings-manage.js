// What the pages say that set the recorder up and look after it; the rest is in `strings.js`.

import { S as common, count, sentence } from "/ui/strings.js";

export const S = {
  ...common,

  camera: {
    add: "Add a camera",
    name: "Name",
    nameHint: "As you would say it: driveway, front door.",
    address: "Address",
    addressExample: "192.168.1.20",
    addressHint: "Its IP address or name is enough. A whole rtsp:// address does too.",
    username: "The camera's user",
    password: "The camera's password",
    passwordKept: "stays as it is",
    passwordHint: "Left empty, it stays. A camera at another address needs it again.",
    make: "Make",
    findOut: "Find out",
    makeHint: "Where a camera has its video depends on its make. Most are found out.",
    sub: "Small stream",
    subHint: "For the grid and for leafing through. Without one the main stream is used, which takes more.",
    more: "More settings",
    description: "Description",
    disk: "Disk",
    anyDisk: "the one with most room",
    recordMain: "Record the main stream",
    recordSub: "Record the sub stream",
    recordSubHint: "Small, and what scrubbing through a day is quick with.",
    udp: "Ask for UDP",
    udpHint: "Only for cameras that cannot do TCP: what is lost on the way stays lost.",
    look: "Look at the picture",
    lookAgain: "Look again",
    looking: "Asking the camera, and watching for a few seconds…",
    /** @param {string} name @param {number} i @param {number} n */
    trying: (name, i, n) => `Is it a ${name}? (${i} of ${n})`,
    saveAndRecord: "Save and record",
    saveUnseen: "Save all the same",
    mainStream: "Main stream",
    subStream: "Sub stream",
    good: "good",
    noPicture: "no picture",
    /** @param {string} name */
    pictureOf: (name) => `What the camera shows: ${name}`,
    /** @param {string} why */
    noPreview: (why) => `Video comes, and can be recorded; a picture of it cannot be made here. ${sentence(why)}`,
    size: "Picture",
    frameRate: "Frames",
    /** @param {string} n */
    perSecond: (n) => `${n} /s`,
    bitRate: "Takes",
    keyFrames: "Key frame",
    /** @param {string} t */
    every: (t) => `every ${t}`,
    lost: "Lost packets",
    /** @param {string} by @param {boolean} isAhead */
    clockOff: (by, isAhead) =>
      `The camera's clock is ${by} ${isAhead ? "ahead" : "behind"}. Recordings have the recorder's time; what the camera writes into its picture is off. Give the camera this recorder's time server.`,
    /** What to do about each kind of failure. @type {Record<string, string>} */
    errors: {
      name: "Nobody in this network knows that name. Try the camera's IP address.",
      unreachable: "Nothing answers there. Is the camera on, is the address right, and is it in this network?",
      refused: "Something is there, but no camera at this port. Is RTSP switched on in the camera's settings?",
      notRtsp: "What answers there is no RTSP. 80 and 443 are its own page; video is mostly at port 554.",
      silent: "It took the connection and said nothing. Restarting the camera often helps.",
      password: "Look at user and password. It was tried once only, so that the camera does not lock the account.",
      path: "The camera is there, but has no video under this address. Choose its make, or look its RTSP address up in its manual.",
      codec: "Set the camera to H.264 in its settings. H.265 is not recorded.",
      noVideo: "It agreed to send, and nothing came. If a firewall is between, UDP does not pass.",
      camera: "The camera said something that is not understood. The log under System has it word by word.",
    },
  },

  cameras: {
    title: "Cameras",
    recording: "recording",
    partly: "recording in part",
    notRecording: "not recording",
    off: "off",
    removed: "removed",
    /** @param {string} since @param {string} detail */
    reason: (since, detail) =>
      `For ${since}: ${sentence(detail)} Nothing of this stream is recorded meanwhile; it is tried again and again.`,
    video: "Picture",
    kept: "Kept",
    since: "Since",
    toKeep: "To keep",
    lost: "Lost packets",
    missing: "Missing, last 30 days",
    /** @param {string} date */
    missingSince: (date) => `Missing since ${date}`,
    /** @param {string} share @param {number} n */
    gaps: (share, n) => (n === 0 ? "nothing" : `${share} in ${count(n, "gap")}`),
    room: "as long as there is room",
    /** @param {string} limits */
    atMost: (limits) => `at most ${limits}`,
    segments: "Table of recordings",
    change: "Change",
    /** @param {string} name */
    changeNamed: (name) => `Change ${name}`,
    remove: "Remove",
    /** @param {string} name */
    removeNamed: (name) => `Remove ${name}`,
    removeText: "It is no longer recorded from now on. What becomes of its recordings?",
    keep: "Keep them",
    keepLong:
      "They stay as long as they would have, and go as others need the room. A camera that is added by the same name goes on with them.",
    delete: "Delete them",
    deleteLong: "All of them, at once. This cannot be undone.",
    inFile: "This camera is set up in the configuration file; change it there.",
  },

  storage: {
    title: "Storage",
    /** @type {Record<string, string>} */
    states: {
      recording: "in use",
      ready: "ready",
      full: "full",
      attaching: "being looked at",
      away: "away",
      readOnly: "read only",
      failed: "failed",
    },
    /** @param {string} t */
    since: (t) => `Since ${t}.`,
    fullLong: "It goes on as soon as the oldest recordings are deleted, in a moment.",
    /** @param {string} n */
    ours: (n) => `recordings ${n}`,
    /** @param {string} n */
    other: (n) => `other files ${n}`,
    /** @param {string} n */
    open: (n) => `free ${n}`,
    /** @param {string} n */
    reserve: (n) => `always left free ${n}`,
    oldest: "Oldest recording",
    throughput: "Written now",
    /** @param {string} n */
    perSecond: (n) => `${n}/s`,
    perDay: "A day",
    untilFull: "Full in",
    never: "never, with these limits",
    nowFull: "full: the oldest go",
    recordings: "Recordings",
    errors: "Errors since the start",
    /** @param {string} n */
    overcommitted: (n) =>
      `The limits below promise ${n} more than there is room for. Nothing breaks: the oldest recordings go a little sooner than the limits say.`,
    /** @param {string} free @param {string} total */
    free: (free, total) => `${free} of ${total} free`,
    mayNot: "An administrator sees the disks here.",
    inFile: "This disk is named in the configuration file; change it there.",
    cameraInFile: "in the file",
    cameraInFileLong: "This camera is set up in the configuration file; its limits are changed there.",
    whoHasWhat: "What is kept",
    camera: "Camera",
    stream: "Stream",
    used: "Has",
    goesBack: "Goes back",
    limit: "At most",
    willReach: "Will reach back",
    noLimit: "no limit",
    unknown: "not known yet",
    endless: "without end",
    change: "Change",
    /** @param {string} name */
    keepOf: (name) => `What is kept of ${name}`,
    keepLong: "Empty is no limit: then it is kept as long as there is room, and the oldest of all goes first.",
    lessLong: "With a lower limit than now, what is beyond it is deleted within minutes.",
    atMostDays: "At most, days",
    atMostBytes: "At most, GB",
    unknownLong: "How far that reaches is known after some minutes of recording.",
    /** @param {string} d @param {string} b */
    comesTo: (d, b) => `Reaches about ${d} back, with ${b}.`,
  },

  system: {
    title: "System",
    log: "Log",
    recorder: "The recorder",
    lately: "Cameras in the last 30 days",
    recording: "Streams recorded",
    /** @param {string} rate */
    streams: (rate) => `${rate} in all`,
    cpu: "Processor",
    /** @param {string} loads */
    load: (loads) => `load ${loads}`,
    memory: "Memory",
    memoryHint: "of the recorder",
    longest: "Longest turn of late",
    /** @param {string} work @param {string} ever */
    longestLong: (work, ever) => `${work} of it work, else waiting for the processor; ${ever} at most since the start`,
    work: "Most work in a turn",
    /** @param {string} late @param {string} ever */
    workOf: (late, ever) => `${late} of late, ${ever} since the start`,
    lost: "Packets lost",
    lostHint: "on the way from the cameras",
    waiting: "Not written yet",
    waitingHint: "waits for the disk",
    camera: "Camera",
    stream: "Stream",
    state: "State",
    rate: "Takes",
    missing: "Missing",
    gaps: "Gaps",
    missingTime: "Time missing",
    since: "Looked at since",
    version: "Version",
    time: "Time",
    zone: "Time zone",
    clock: "Clock",
    clockSet: "set",
    clockUnset: "not set",
    started: "Started",
    uptime: "Runs for",
    busy: "Loop busy in all",
    disk: "Disk access by",
    diskWaiting: "Disk operations now",
    /** @param {number} now @param {number} most */
    most: (now, most) => `${now}, at most ${most}`,
    uncommitted: "Recordings not in the database yet",
    logLost: "Log lines lost",
    viewers: "Watching live",
    connections: "Connections",
    refused: "… refused",
    received: "Received",
    sent: "Sent",
    metrics: "Figures for Prometheus",
    raw: "The same as JSON",
  },

  log: {
    title: "Log",
    level: "Show",
    /** @type {Record<string, string>} */
    worse: {
      critical: "critical only",
      error: "errors and worse",
      warning: "warnings and worse",
      notice: "notices and worse",
      info: "everything",
    },
    /** @type {Record<string, string>} */
    levels: { critical: "critical", error: "error", warning: "warning", notice: "notice", info: "info" },
    camera: "Camera",
    all: "all",
    text: "With the words",
    follow: "Follow",
    nothing: "No such line. New ones show as they come.",
    incomplete: "There were more, and older ones: they are in the system's log.",
  },

  segments: {
    title: "Recordings",
    long: "What was recorded, piece by piece, newest first.",
    camera: "Camera",
    stream: "Stream",
    from: "From",
    to: "To",
    split: "Pieces of",
    whole: "whole runs",
    subtitles: "Times as subtitles",
    trim: "Cut to these times",
    start: "Start",
    end: "End",
    duration: "Duration",
    size: "Size",
    video: "Picture",
    frames: "Frames",
    rate: "Takes",
    file: "File",
    watch: "Watch",
    save: "Save",
    boxes: "Boxes",
    boxesLong: "How the file is made, for people who look after such things",
    growing: "(goes on)",
    /** @param {number} shown @param {number} all */
    more: (shown, all) => `The newest ${shown} of ${all}. Choose longer pieces or a shorter time for the rest.`,
  },

  welcome: {
    /** @type {Record<string, string>} */
    steps: { administrator: "Administrator", machine: "Clock and disk", cameras: "Cameras", keep: "How much to keep" },
    /** @type {Record<string, string>} */
    titles: { machine: "Clock and disk", cameras: "Your cameras", keep: "How much to keep" },
    machineLong: "Recordings are found again by their time, and live on the disk. Look at both.",
    clock: "Clock",
    clockSet: "set",
    clockUnset: "not set",
    zoneLong: "Days in the calendar begin at midnight of this zone.",
    disk: "Disk for recordings",
    diskReady: "ready",
    diskMissing: "missing",
    noDisk:
      "There is no disk for recordings yet: nothing can be recorded without one. Name a folder on one in the configuration file (sample_dirs).",
    noDiskYet: "There is no disk for recordings yet: choose one below.",
    back: "Back",
    next: "Go on",
    without: "Go on without",
    camerasLong: "Each is looked at first, and recorded from the moment it is saved.",
    firstCamera: "A camera by its address",
    another: "Another camera by its address",
    starting: "starting",
    keepLong: "Old recordings make room for new ones by themselves. You can change this later for each camera, under Storage.",
    room: "As much as there is room for",
    roomLong: "The oldest goes when the disk is full. This is what most people want.",
    limited: "No longer than a number of days",
    limitedLong: "Where a law or a promise to neighbours says so. What is older is deleted.",
    most: "Days",
    measuring: "being measured",
    measuringLong: "How much the cameras take is being measured: a forecast comes after about a minute of recording.",
    nothingYet: "Without a camera there is nothing to foretell.",
    /** @param {string} d @param {number} unknown */
    forecast: (d, unknown) => `Recordings will reach about ${d} back${unknown ? ", as far as is known by now" : ""}.`,
    /** @param {string} d */
    tooMuch: (d) =>
      `There is room for about ${d} only: the oldest will go by then. A larger disk, or a lower bit rate set in the cameras, makes it more.`,
    finish: "Start watching",
  },

  found: {
    title: "Found on this network",
    again: "Search again",
    scan: "Search longer",
    searching: "Searching…",
    /** @param {number} n */
    trying: (n) => `Trying ${count(n, "camera")}…`,
    /** @param {number} n */
    foundSome: (n) => `${count(n, "camera")} not recorded yet.`,
    nothing: "No other camera announces itself. One that does not can be added by its address, or is found by searching longer.",
    once: "User and password are tried once on each that is ticked, so that no camera locks its account.",
    tryAll: "Try on these",
    /** @param {number} n */
    record: (n) => (n === 1 ? "Record it" : `Record all ${n}`),
    /** @param {string} address */
    choose: (address) => `Choose ${address}`,
    /** @param {string} address */
    nameOf: (address) => `Name of the camera at ${address}`,
    /** @type {Record<string, string>} */
    via: { onvif: "ONVIF", mdns: "announces RTSP", rtsp: "speaks RTSP" },
    /** @type {Record<string, string>} */
    states: {
      found: "found",
      waiting: "waiting",
      asking: "asking",
      looking: "looking",
      ready: "ready",
      refused: "wrong password",
      failed: "failed",
      recorded: "recorded",
    },
  },

  machine: {
    title: "This machine",
    fine: "fine",
    weak: "power too weak",
    weakLong:
      "The power supply was too weak since the start: that costs recordings and, in the end, the card. Use the supply that is made for this board, and give disks their own.",
    hot: "too hot",
    hotLong: "It slows down to protect itself. Give it air, or a heat sink.",
    board: "Board",
    slot: "System",
    /** @param {string} now @param {string | null} other */
    slotOf: (now, other) => `slot ${now}${other ? `; the other one has ${other}` : ""}`,
    temperature: "Temperature",
    wear: "Written to the card",
    /** @param {string | null} day @param {string} all */
    wearOf: (day, all) => (day === null ? `${all} since the start` : `${day} a day`),
    synchronized: "follows a time server",
    unsynchronized: "follows no time server",
    problems: "The boot file on the card is not all right:",
    problemsLong:
      "The rest of it is in force. Recording is not concerned unless it says so. Put it right on a computer: the card shows as MNVR-BOOT.",
    settings: "Settings",
    /** @type {Record<string, string>} */
    settingNames: {
      hostname: "Name",
      timeZone: "Time zone",
      ntp: "Time servers",
      ntpServer: "Time for cameras",
      network: "Network",
      wifi: "Wi-Fi",
      sshKeys: "SSH",
      emergencyBytes: "Without a disk",
    },
    fixed: "The boot file on the card says this; change it there.",
    hostname: "Name in the network",
    hostnameHint: "The page is at this name with .local behind it.",
    ntp: "Time servers, one a line",
    ntpHint: "Empty: those of the system.",
    ntpServer: "Cameras may ask this machine for the time",
    ntpServerHint: "For cameras that are let into no other network.",
    dhcp: "The network gives it an address (DHCP)",
    address: "Address",
    addressHint: "If it changes, this page is at the new one from then on.",
    gateway: "Gateway",
    dns: "Name servers",
    interface: "Interface",
    ssid: "Wi-Fi network",
    ssidHint: "Empty: none. A cable is better for recording.",
    wifiPassword: "Wi-Fi password",
    country: "Country",
    sshKeys: "Public SSH keys, one a line",
    sshKeysHint: "They may sign in as root. Without one there is no SSH.",
    emergency: "Record to the card while there is no disk, MB",
    emergencyHint: "0: nothing. It wears the card.",
    power: "Power",
    powerLong: "Recordings end in good order first.",
    reboot: "Restart",
    rebootLong: "Nothing is recorded for about a minute.",
    rebooting: "It restarts. This page goes on by itself when it is back.",
    powerOff: "Power off",
    powerOffLong: "Nothing is recorded until somebody plugs it out and in again.",
    poweringOff: "It powers off. Wait until the green light is dark before unplugging it.",
    reset: "Factory reset",
    resetLong: "Users, cameras and settings are forgotten, and it starts as if it was new.",
    resetKeep: "They stay on the disk, and are found again by the cameras' names.",
    resetTick: "Yes, forget users, cameras and settings",
    /** @type {Record<string, string>} */
    jobs: {
      format: "Making a file system",
      mount: "Taking the disk into use",
      unmount: "Letting the disk go",
      install: "Installing the update",
    },
  },

  disks: {
    title: "Plugged in",
    nothing: "No disk is plugged in. Plug one in: it shows here in a moment.",
    /** @type {Record<string, string>} */
    states: {
      system: "the card",
      inUse: "in use",
      ready: "ready",
      empty: "empty",
      other: "something else is on it",
      readOnly: "read only",
    },
    /** @type {Record<string, string>} */
    means: {
      system: "This machine runs from it.",
      inUse: "Recordings go there.",
      ready: "It has recordings on it, or room for them. Use it as it is.",
      empty: "Nothing is on it. Make it ready for recordings.",
      other: "It can be used once it is emptied.",
      readOnly: "It cannot be written. Is there a switch on it? Else it is failing.",
    },
    /** @type {Record<string, string>} */
    transports: { usb: "USB", ata: "SATA", mmc: "SD card" },
    /** @param {string} what */
    on: (what) => `On it: ${what}`,
    format: "Use for recordings",
    mount: "Use it",
    unmount: "Let it go",
    /** @param {string} model @param {string} size */
    formatTitle: (model, size) => `Use ${model} (${size}) for recordings?`,
    emptyLong: "A file system is made on all of it. Recording to it begins by itself.",
    /** @param {string} what */
    formatLong: (what) => `Everything on it is deleted (${what}), and cannot be had back. Recording to it begins by itself.`,
    tick: "Yes, delete everything on this disk",
    /** @param {string} model */
    unmountTitle: (model) => `Let ${model} go?`,
    unmountLong:
      "Its cameras are not recorded from then on, until it or another disk is there. Then it can be unplugged without harm.",
  },

  update: {
    title: "Update",
    /** @type {Record<string, string>} */
    states: {
      none: "",
      receiving: "An update is coming.",
      written: "An update is ready to be started.",
      trying: "The new version is being tried.",
      good: "The last update went well.",
      fellBack: "The last update did not do: the version before it is back.",
    },
    /** @param {string} v */
    version: (v) => `Version ${v}.`,
    choose: "A file moonfire-nvr-…-armv7.update",
    sending: "Sending the update",
    /** @param {string} sent @param {string} all */
    sent: (sent, all) => `${sent} of ${all}`,
    checking: "Checking it…",
    /** @param {string} v */
    written: (v) =>
      `${v ? `Version ${v}` : "It"} is written and checked. Recording goes on with the old one until it is started.`,
    start: "Start the new version",
    startTitle: "Start the new version?",
    startLong:
      "The machine starts anew, which takes about a minute without recording. If the new version does not serve this page and record all cameras, the old one comes back by itself.",
    starting: "It starts anew. This page goes on by itself when it is back.",
    back: "Back to the version before",
    backTitle: "Go back to the version before?",
    backLong: "The machine starts anew, which takes about a minute without recording. Recordings are not concerned.",
    /** @param {string} v @param {string} size */
    stick: (v, size) => `${v} on a USB stick, ${size}`,
    install: "Install",
  },

  backup: {
    title: "Backup",
    long: "Cameras, users, what is kept, settings. No recordings.",
    make: "Make a backup",
    makeLong: "With a passphrase the cameras' passwords are in it, encrypted; without one they are left out.",
    passphrase: "Passphrase",
    passphraseHint: "Write it down: without it the passwords in the file are lost.",
    made: "The backup is in your downloads.",
    restore: "Restore",
    restoreLong: "What is in the file is added: cameras and users of the same names are changed, nothing is removed.",
    file: "Backup file",
    /** @param {number} cameras @param {number} users */
    restored: (cameras, users) => `Restored: ${count(cameras, "camera")}, ${count(users, "user")}.`,
    support: "File for support",
  },

  tokens: {
    title: "Programs",
    long: "A program shows a token in place of a password: for home automation, scripts, video players.",
    add: "New token",
    name: "What it is for",
    example: "home automation",
    make: "Make the token",
    made: "The token",
    once: "Copy it now: it is told this once, and nobody can look it up later.",
    token: "Token",
    copy: "Copy",
    copied: "Copied.",
    notCopied: "This browser does not let a page copy. Select it and copy it by hand.",
    never: "never",
    /** @param {string} name */
    removeTitle: (name) => `Remove “${name}”?`,
    removeLong: "The program that has it is let in no more, at once.",
  },

  users: {
    title: "Users",
    add: "Add a user",
    change: "Change",
    may: "May",
    newPassword: "New password",
    keep: "Left empty, the password stays. A new one ends all other sessions of the user.",
    disabled: "May not sign in for now",
    isDisabled: "may not sign in",
    administrator: "administrator",
    mayNot: "You watch as a visitor. Sign in to see your account; an administrator sees all users here.",
    /** @param {string} name */
    removeTitle: (name) => `Remove ${name}?`,
    sure: "The user's sessions and tokens end at once. Recordings are not concerned.",
    role: "Role",
    /** @type {Record<string, string>} */
    roles: {
      watch: "Watches live and recordings",
      exporter: "Watches, and exports",
      installer: "Watches, exports, sets up cameras",
      all: "Administrator: may do everything",
      other: "Something else…",
    },
    someCameras: "Only some cameras",
    noPassword: "Has no password: signs in with tokens only.",
    /** @param {string} name */
    you: (name) => name,
    /** @param {string} what */
    youMay: (what) => `You may ${what}.`,
    ownPassword: "Change my password",
    passwordChanged: "The password is changed. Your other browsers are signed out.",
    permissions: {
      viewLive: "watch live",
      viewRecordings: "watch recordings",
      export: "export recordings",
      readCameraConfigs: "see how cameras are set up",
      configure: "set up cameras",
      updateSignals: "change signals",
      administer: "administer users and the recorder",
    },
    sessions: "Who is signed in",
    user: "User",
    lastUse: "Last use",
    from: "From",
    program: "Browser",
    current: "this one",
    end: "End",
    /** @param {string} agent */
    browser: (agent) => /(Firefox|Edg|Chrome|Safari|curl)/.exec(agent)?.[1].replace("Edg", "Edge") ?? agent.slice(0, 20),
  },
};
