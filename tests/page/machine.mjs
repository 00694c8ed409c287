// Answers of an appliance, and of a network with cameras, as guide/api.md has them: those pages are looked at on any machine.

const MACHINE = {
  appliance: true,
  hostname: "moonfire-nvr",
  board: "Raspberry Pi 2 Model B Rev 1.1",
  serial: "00000000deadbeef",
  version: "0.1.0",
  uptimeSeconds: 86400,
  temperatureCelsius: 48.3,
  underVoltage: true,
  clockSynchronized: true,
  cardWrites: { sinceBootBytes: 12345678, bytesPerDay: 52428800 },
  problems: [{ file: "moonfire-nvr.toml", line: 12, column: 1, message: "unknown key `hostnam` in [appliance]" }],
  settings: {
    hostname: { value: "moonfire-nvr", from: "default" },
    timeZone: { value: "Europe/Zurich", from: "page" },
    ntp: { value: [], from: "default" },
    ntpServer: { value: true, from: "bootFile" },
    sshKeys: { value: [], from: "default" },
    network: { value: { interface: "eth0", address: "192.0.2.5/24", gateway: "192.0.2.1", dns: ["192.0.2.1"] }, from: "page" },
    wifi: { value: null, from: "default" },
    emergencyBytes: { value: 0, from: "default" },
  },
  slots: { running: "a", good: "a", trying: null, triesLeft: 0, versions: { a: "0.1.0", b: "0.0.9" } },
  update: { state: "written", version: "0.2.0", message: null },
  updateFiles: [{ file: "sdb1/moonfire-nvr-0.2.0-armv7.update", version: "0.2.0", sizeBytes: 52428800 }],
  job: null,
};

const DISKS = {
  disks: [
    {
      id: "mmcblk0",
      model: "SD32G",
      serial: "0x1",
      sizeBytes: 32e9,
      transport: "mmc",
      system: true,
      state: "system",
      confirm: "SD32G 0x1",
      partitions: [],
    },
    {
      id: "sda",
      model: "WD Elements",
      serial: "575834",
      sizeBytes: 4000787030016,
      transport: "usb",
      system: false,
      state: "other",
      confirm: "WD Elements 575834",
      partitions: [
        {
          id: "sda1",
          sizeBytes: 4000785104896,
          fileSystem: "ntfs",
          label: "Elements",
          uuid: "5A1C",
          mountedAt: null,
          freeBytes: null,
          sampleDisk: false,
          recordings: null,
        },
      ],
    },
  ],
};

const FOUND = {
  searching: false,
  searchTime90k: 161580825600000,
  trying: 0,
  interfaces: ["eth0"],
  auto: false,
  devices: [
    {
      id: 1,
      address: "192.0.2.7",
      via: "onvif",
      name: "Front Door",
      maker: "ACME",
      model: "X1",
      gone: false,
      camera: null,
      state: "ready",
      message: null,
      suggestedName: "Front Door",
      picture: null,
      clockOffset90k: 0,
      streams: { main: { url: "rtsp://192.0.2.7/main", ok: true, codec: "avc1.640028", width: 2560, height: 1440 } },
      advice: [{ kind: "noSub", stream: null, message: "it has no sub stream: the grid shows the main one, which takes more" }],
    },
    {
      id: 2,
      address: "192.0.2.8",
      via: "mdns",
      name: null,
      maker: null,
      model: null,
      gone: false,
      camera: null,
      state: "refused",
      message: "user or password is wrong",
      suggestedName: null,
      picture: null,
      clockOffset90k: null,
      streams: null,
      advice: null,
    },
  ],
  events: [],
};

/** What was asked of the machine. @typedef {{method: string, path: string, body: any}} Asked */

/**
 * Has the page believe that it is an appliance's; returns what it asks of it.
 * @param {import("puppeteer-core").Page} page
 */
export async function pretend(page) {
  /** @type {Asked[]} */
  const asked = [];
  const job = { id: 1, what: "format", state: "done", step: null, message: "WD Elements is ready for recordings", percent: 100 };
  await page.setRequestInterception(true);
  const answer = (/** @type {import("puppeteer-core").HTTPRequest} */ request) => {
    const path = new URL(request.url()).pathname;
    const reply = (/** @type {any} */ body, status = 200) =>
      request.respond({ status, contentType: "application/json", body: JSON.stringify(body) });
    if (!path.startsWith("/api/appliance") && !path.startsWith("/api/onboard")) return request.continue();
    if (request.method() !== "GET") {
      asked.push({ method: request.method(), path, body: JSON.parse(request.postData() ?? "null") });
    }
    if (path === "/api/onboard/") return reply(FOUND);
    if (path.startsWith("/api/onboard/")) return reply({ devices: [1], skipped: [] });
    if (path === "/api/appliance/job") return reply({ job });
    if (path === "/api/appliance/disks") {
      return request.method() === "GET" ? reply(DISKS) : reply({ job: { ...job, state: "running", percent: 10 } }, 202);
    }
    if (request.method() === "PATCH") return reply({ settings: MACHINE.settings, message: "The clock is set anew." });
    return reply(MACHINE);
  };
  page.on("request", answer);
  const end = async () => {
    page.off("request", answer);
    await page.setRequestInterception(false);
  };
  return { asked, end };
}
