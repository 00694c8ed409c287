"""Cases: the board in its network, and the page in a browser."""

import json
import lzma
import os
import pathlib
import re
import subprocess
import tarfile

from . import guest as g
from .guest import Guest, check, wait_for

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def case_neighbour(bench):
    """A second board with a fixed address; it finds the first one's name and page by mDNS, over a cable between them."""
    board = bench.need_board()
    bench.let_in()
    devices = board.shell("ls /sys/class/net").split()
    wired = next(name for name in devices if name != "lo")
    board.go_off()
    path = bench.folder / "cable"
    board.cable = f"server=on,addr.type=unix,addr.path={path}"
    folder = bench.folder / "neighbour"
    folder.mkdir()
    other = Guest(folder, bench.options.image, bench.options.board, bench.options.size)
    other.cable = f"server=off,addr.type=unix,addr.path={path}"
    other.number = 2
    other.address = "10.0.2.77"
    key = other.make_key()
    other.write_boot("moonfire-nvr.toml", f"""
[appliance]
hostname = "cellar"
ssh_key = "{key}"
[appliance.network]
dhcp = false
address = "10.0.2.77/24"
gateway = "10.0.2.2"
dns = ["10.0.2.3"]
interface = "{wired}"
""")
    try:
        board.start()
        other.start()
        board.await_page()
        # It is there at its fixed address only, where QEMU sends those who ask for its page.
        other.await_page()
        other.await_shell()
        addresses = other.shell(f"ip -brief -4 address show dev {wired}").split()
        check(addresses[2:] == ["10.0.2.77/24"], f"the addresses are {addresses}")
        other.become_administrator()
        problems = other.get("/api/appliance")["problems"]
        check(not problems, f"the boot file is complained of: {problems}")
        told = wait_for("the name", 60, lambda: other.shell("resolvectl query --legend=no attic.local", fail=False), 2)
        service = other.shell("resolvectl service --legend=no attic _http._tcp local")
        check("attic.local:80" in service, f"the service is told as {service}")
        # An address of this cable's is asked for the page.
        found = re.search(r"attic.local: (fe80\S+)", told) or re.search(r"(fe80:\S+)", told)
        check(found, f"the name is told as {told}")
        page = other.shell("exec 3<>/dev/tcp/attic.local/80; printf 'GET /healthz HTTP/1.0\\r\\nHost: attic.local\\r\\n\\r\\n' >&3; cat <&3")
        check(page.endswith("ok\n"), f"the page says {page}")
        bench.say(f"by mDNS: {' '.join(told.split())}; {' '.join(service.split())}")
    finally:
        other.kill()
        board.go_off()
        board.cable = None
        board.start()
        board.await_page()


def case_wireless(bench):
    """A wireless network as the boot file or the page names it, with radios of the kernel's own (mac80211_hwsim)."""
    board = bench.need_board()
    bench.let_in()
    kernel = board.shell("uname -r").strip()
    board.request("PATCH", "/api/appliance", {"settings": {"wifi": {
        "ssid": "home \"net\"", "password": "wireless secret", "country": "CH"}}})
    # An access point beside it, with a DHCP server. The modules are those of the image's kernel that it has no use for.
    wanted = ["lib/crypto/libarc4", "net/mac80211/mac80211", "drivers/net/wireless/virtual/mac80211_hwsim"]
    with tarfile.open(bench.options.root_tar) as tar:
        for path in wanted:
            module = lzma.decompress(tar.extractfile(f"./usr/lib/modules/{kernel}/kernel/{path}.ko.xz").read())
            board.shell(f"cat >/run/{path.rsplit('/', 1)[1]}.ko", given=module)
    board.shell("""
mkdir -p /run/systemd/network
printf '[Match]\nName=wlan1\n[Network]\nAddress=192.168.77.1/24\nDHCPServer=yes\n' >/run/systemd/network/05-ap.network
networkctl reload
nft add element inet moonfire udp_ports '{ 67 }'
cat >/run/ap.conf <<'EOF'
network={
    ssid=686f6d6520226e657422
    mode=2
    frequency=2412
    key_mgmt=WPA-PSK
    proto=RSN
    pairwise=CCMP
    psk="wireless secret"
}
EOF
modprobe cfg80211
for module in libarc4 mac80211; do insmod /run/$module.ko 2>/dev/null || true; done
insmod /run/mac80211_hwsim.ko radios=2
sleep 1
wpa_supplicant -B -c /run/ap.conf -i wlan1 -D nl80211
""")
    told = wait_for("an address from the access point", 120, lambda: re.search(
        r"192\.168\.77\.\d+", board.shell("ip -brief -4 address show dev wlan0", fail=False)), 2)
    failed = board.shell("systemctl --failed --plain --no-legend")
    check(not failed.strip(), f"units failed: {failed}")
    bench.say(f"associated with WPA2, and has the address {told[0]}")
    told = board.get("/api/appliance")["settings"]["wifi"]
    check("wireless secret" not in json.dumps(told), f"the page tells the password: {told}")
    board.request("PATCH", "/api/appliance", {"settings": {"wifi": None}})
    wait_for("the wireless network to be left", 60, lambda: "192.168.77" not in board.shell(
        "ip -brief -4 address show dev wlan0", fail=False), 2)


def case_page(bench):
    """The first visit by the page, in Chromium as on a phone: administrator, zone, disk, camera, live, settings, backup."""
    tools = ROOT / "tests" / "page"
    check((tools / "node_modules").is_dir(), "what the page's tests need is not there: `npm ci` in tests/page, or ./prep.sh test")
    if bench.board:
        bench.board.kill()
    folder = bench.folder / "page"
    folder.mkdir()
    board = Guest(folder, bench.options.image, bench.options.board, bench.options.size)
    disk = folder / "disk.img"
    g.run("truncate", "-s", "4G", str(disk))
    board.disks["disk"] = disk
    bench.board = board
    board.start()
    board.await_page()
    environment = dict(os.environ, MOONFIRE_NVR=str(bench.program.resolve()))
    told = subprocess.run(["node", "board.mjs", f"http://127.0.0.1:{board.port}", "10.0.2.2"], cwd=tools, env=environment,
                          capture_output=True, text=True, timeout=3600)
    for line in told.stdout.splitlines():
        bench.say(line)
    check(told.returncode == 0, f"the page: {told.stderr[-1500:]}")
