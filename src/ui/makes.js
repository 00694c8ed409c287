// Where cameras of well-known makes have their streams: with the address alone the page finds out which it is.

/**
 * Path and query of the streams, after the host; `port` is where other than 554.
 * @typedef {{name: string, main: string, sub: string | null, port?: number}} Make
 */

/** The ones that are met most come first: they are tried in this order. @type {Make[]} */
export const MAKES = [
  { name: "Hikvision, Annke, HiLook", main: "/Streaming/Channels/101", sub: "/Streaming/Channels/102" },
  { name: "Dahua, Amcrest, Lorex", main: "/cam/realmonitor?channel=1&subtype=0", sub: "/cam/realmonitor?channel=1&subtype=1" },
  { name: "Reolink", main: "/h264Preview_01_main", sub: "/h264Preview_01_sub" },
  { name: "TP-Link Tapo, VIGI", main: "/stream1", sub: "/stream2" },
  {
    name: "Axis",
    main: "/axis-media/media.amp?videocodec=h264",
    sub: "/axis-media/media.amp?videocodec=h264&resolution=640x360",
  },
  { name: "Uniview", main: "/media/video1", sub: "/media/video2" },
  { name: "Hanwha, Wisenet", main: "/profile2/media.smp", sub: "/profile3/media.smp" },
  { name: "Vivotek", main: "/live1s1.sdp", sub: "/live1s2.sdp" },
  { name: "Foscam", main: "/videoMain", sub: "/videoSub", port: 88 },
  { name: "Main and sub", main: "/main", sub: "/sub" },
];

/**
 * The URLs of a make's streams at an address: "192.0.2.7", with a port if it is not the usual one.
 * @param {Make} make
 * @param {string} address
 */
export function addresses(make, address) {
  const host = address.trim().replace(/\/+$/, "");
  const hasPort = /(\]|^[^:]*):\d+$/.test(host);
  const at = `rtsp://${host}${make.port && !hasPort ? `:${make.port}` : ""}`;
  return { main: at + make.main, sub: make.sub === null ? null : at + make.sub };
}

/** The make whose path a URL has, if any. @param {string} url */
export const makeOf = (url) => MAKES.find((make) => make.main !== "/main" && url.endsWith(make.main))?.name ?? "";
