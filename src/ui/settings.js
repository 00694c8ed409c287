// How an appliance is set up: its name, time, network. What the boot file says is changed there.

import { change } from "/ui/api.js";
import { h, say } from "/ui/dom.js";
import { check, field, openDialog, tried, trouble } from "/ui/form.js";
import { refresh } from "/ui/state.js";
import { S } from "/ui/strings-manage.js";

/** @typedef {import("/ui/machine.js").Setting} Setting */

/** The zones that this browser knows. @returns {string[]} */
const zones = () => /** @type {any} */ (Intl).supportedValuesOf?.("timeZone") ?? [];

/** A choice of time zones, with the one that is in force. @param {string | null} now @param {(zone: string) => void} [onChange] */
export function zoneChoice(now, onChange) {
  const all = [...new Set([...(now ? [now] : []), "UTC", ...zones()])].sort();
  const select = h(
    "select",
    { name: "time-zone", onchange: () => onChange?.(select.value) },
    all.map((z) => h("option", { value: z, selected: z === now }, z.replaceAll("_", " "))),
  );
  return select;
}

/** Changes settings of the machine. @param {Record<string, any>} settings @returns {Promise<string>} what the recorder says of it */
export async function changeSettings(settings) {
  const told = await change("PATCH", "/api/appliance", { settings });
  await refresh();
  return told?.message ?? "";
}

/** @param {Record<string, Setting>} settings @param {() => void} done */
export function openSettings(settings, done) {
  const x = S.machine;
  const value = (/** @type {string} */ name) => settings[name]?.value ?? null;
  const isFixed = (/** @type {string} */ name) => settings[name]?.from === "bootFile";
  const bare = { autocapitalize: "none", spellcheck: false, autocomplete: "off" };
  const lines = (/** @type {string} */ text) =>
    text
      .split(/\n/)
      .map((l) => l.trim())
      .filter(Boolean);
  const network = value("network");
  const wifi = value("wifi");
  const inputs = {
    hostname: h("input", { ...bare, maxLength: 63, value: value("hostname") ?? "" }),
    timeZone: zoneChoice(value("timeZone")),
    ntp: h("textarea", { ...bare, rows: 2, value: (value("ntp") ?? []).join("\n") }),
    ntpServer: h("input", { type: "checkbox", checked: value("ntpServer") === true }),
    sshKeys: h("textarea", { ...bare, rows: 3, value: (value("sshKeys") ?? []).join("\n") }),
    emergencyBytes: h("input", {
      type: "number",
      min: "0",
      step: "any",
      value: value("emergencyBytes") === null ? "" : value("emergencyBytes") / 1e6,
    }),
  };
  const dhcp = h("input", { type: "checkbox", checked: network === null, onchange: () => shape() });
  const net = {
    interface: h("input", { ...bare, value: network?.interface ?? "eth0" }),
    address: h("input", { ...bare, placeholder: "192.168.1.5/24", value: network?.address ?? "" }),
    gateway: h("input", { ...bare, placeholder: "192.168.1.1", value: network?.gateway ?? "" }),
    dns: h("input", { ...bare, value: [network?.dns ?? []].flat().join(", ") }),
  };
  const air = {
    ssid: h("input", { ...bare, value: wifi?.ssid ?? "" }),
    password: h("input", {
      type: "password",
      autocomplete: "new-password",
      placeholder: wifi?.hasPassword ? S.camera.passwordKept : "",
    }),
    country: h("input", { ...bare, maxLength: 2, placeholder: "CH", value: wifi?.country ?? "" }),
  };
  const netFields = h(
    "div",
    { class: "fields" },
    field(x.address, net.address, x.addressHint),
    field(x.gateway, net.gateway),
    field(x.dns, net.dns),
    field(x.interface, net.interface),
  );
  const shape = () => {
    netFields.hidden = dhcp.checked;
  };
  shape();
  const groups = /** @type {[string, any[]][]} */ ([
    ["hostname", [field(x.hostname, inputs.hostname, x.hostnameHint)]],
    ["timeZone", [field(S.system.zone, inputs.timeZone)]],
    ["ntp", [field(x.ntp, inputs.ntp, x.ntpHint)]],
    ["ntpServer", [check(x.ntpServer, inputs.ntpServer, x.ntpServerHint)]],
    ["network", [check(x.dhcp, dhcp), netFields]],
    [
      "wifi",
      [
        h(
          "div",
          { class: "fields" },
          field(x.ssid, air.ssid, x.ssidHint),
          field(x.wifiPassword, air.password),
          field(x.country, air.country),
        ),
      ],
    ],
    ["sshKeys", [field(x.sshKeys, inputs.sshKeys, x.sshKeysHint)]],
    ["emergencyBytes", [field(x.emergency, inputs.emergencyBytes, x.emergencyHint)]],
  ]);
  const wrong = trouble();
  const well = h("p", { class: "well", role: "status", hidden: true });
  const save = h("button", {}, S.save);
  const leave = h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, S.cancel);

  /** What each setting is now said to be. */
  const said = () => ({
    hostname: inputs.hostname.value.trim() || null,
    timeZone: inputs.timeZone.value,
    ntp: lines(inputs.ntp.value),
    ntpServer: inputs.ntpServer.checked,
    sshKeys: lines(inputs.sshKeys.value),
    emergencyBytes: inputs.emergencyBytes.value === "" ? null : Math.round(Number(inputs.emergencyBytes.value) * 1e6),
    network: dhcp.checked
      ? null
      : {
          interface: net.interface.value.trim(),
          address: net.address.value.trim(),
          gateway: net.gateway.value.trim() || null,
          dns: net.dns.value.split(/[\s,]+/).filter(Boolean),
        },
    wifi:
      air.ssid.value.trim() === ""
        ? null
        : {
            ssid: air.ssid.value.trim(),
            country: air.country.value.trim().toUpperCase() || null,
            ...(air.password.value ? { password: air.password.value } : {}),
          },
  });
  const before = JSON.stringify(said());
  const submit = async (/** @type {Event} */ e) => {
    e.preventDefault();
    const was = JSON.parse(before);
    const now = /** @type {Record<string, any>} */ (said());
    // Only what was changed: the rest may come from the boot file.
    const changed = Object.fromEntries(
      Object.entries(now).filter(
        ([name, v]) => !isFixed(name) && name in settings && JSON.stringify(v) !== JSON.stringify(was[name]),
      ),
    );
    let message = "";
    if (
      Object.keys(changed).length &&
      !(await tried(save, wrong.tell, async () => {
        message = await changeSettings(changed);
      }))
    ) {
      return;
    }
    done();
    if (!message) return dialog.close();
    say(well, S.sentence(message));
    well.hidden = false;
    save.hidden = true;
    say(leave, S.close);
  };
  const dialog = openDialog(
    x.settings,
    [
      h(
        "form",
        { onsubmit: submit },
        groups
          .filter(([name]) => name in settings)
          .map(([name, fields]) => {
            const group = h(
              "fieldset",
              { disabled: isFixed(name) },
              h("legend", { class: "spoken" }, x.settingNames[name] ?? name),
              fields,
            );
            if (isFixed(name)) group.append(h("p", { class: "hint" }, x.fixed));
            return group;
          }),
        wrong.element,
        well,
        h("div", { class: "form-end" }, save, leave),
      ),
    ],
    { wide: true },
  );
}
