"""Cases: recording, and what happens to the board, its disks, its boot file and its clock."""

import re
import socket
import struct
import threading
import time

from . import guest as g
from .bench import UNITS
from .guest import check, wait_for

# How much of a recording a power cut may cost: the sync interval and a round of it on a slow disk.
MOST_LOST_SECONDS = 5
# How far from the truth a recording may be that was begun without a clock; an emulated board takes its time.
MOST_CLOCK_SECONDS = 30


def case_boot(bench):
    """The page from a blank data partition; root read-only; no failed unit; io_uring; the data partition grown."""
    board = bench.need_board()
    system = board.get("/api/system")
    check(system["loop"]["diskBackend"] == "io_uring", f"the disk is driven by {system['loop']['diskBackend']}")
    appliance = board.get("/api/appliance")
    slots = appliance["slots"]
    check(slots["running"] == slots["good"] == "a" and slots["versions"]["a"] == appliance["version"], f"it runs {slots}")
    check(system["timeZoneName"] == "Europe/Zurich", f"the time zone is {system['timeZoneName']}")
    board.await_shell()
    failed = board.shell("systemctl --failed --plain --no-legend")
    check(not failed.strip(), f"units failed: {failed}")
    state = wait_for("the start to be over", 120, lambda: board.shell(
        "systemctl is-system-running || true").strip().replace("starting", ""), 2)
    check(state == "running", f"the system is {state}")
    mounts = {line.split()[1]: line.split() for line in board.shell("cat /proc/mounts").splitlines()}
    check(mounts["/"][2] == "squashfs" and "ro" in mounts["/"][3].split(","), f"the root is {mounts['/']}")
    check("ro" in mounts["/boot/firmware"][3].split(","), "the boot partition can be written")
    written = board.shell("touch /etc/x /usr/x 2>/dev/null && echo yes || true")
    check("yes" not in written, "the root can be written")
    size = int(board.shell("df -B1 --output=size /data | tail -1"))
    check(size > 1.2e9, f"the data partition has {size} bytes")
    check(board.shell("hostname").strip() == "attic", "the host's name is not the boot file's")
    who = board.shell("ps -o user= -C moonfire-nvr | sort -u | tr '\\n' ' '").split()
    check("moonfire+" in who or "moonfire-nvr" in who, f"the recorder runs as {who}")
    exposure = board.shell("systemd-analyze security moonfire-nvr.service --no-pager | tail -1")
    level = float(re.search(r": ([0-9.]+) ", exposure)[1])
    check(level <= 1.5, exposure.strip())
    bench.say(f"systemd-analyze security: {level}")
    # Who may ask the steward, and who may sign in.
    socket_of = board.shell("stat -c '%a %U %G' /run/moonfire-nvr-steward.sock").strip()
    check(socket_of == "660 root moonfire-nvr", f"the steward's socket is {socket_of}")
    other = bench.folder / "other-key"
    g.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other))
    refused = board.ssh("true", other)
    check(refused.returncode == 255 and b"Permission denied (publickey)" in refused.stderr,
          f"SSH with another key: {refused.returncode} {refused.stderr}")
    # Who has the key can let somebody in again.
    told = board.shell("echo 'battery staple' | moonfire-nvr login --config /run/moonfire-nvr/config.toml --password-file - bert")
    check("made the administrator bert" in told, told)
    check(not board.shell("find /data/moonfire-nvr -user root"), "root's files are among the recorder's")
    ports = board.shell("nft list ruleset")
    check("policy drop" in ports and "elements = { 22, 80, 443 }" in ports, f"the firewall: {ports}")


def case_record(bench):
    """A disk formatted through the API, two minutes of a camera recorded, fetched, decoded, each packet compared."""
    board, stream = bench.need_recording()
    seconds = bench.options.seconds
    before = board.card_bytes()
    begin = time.monotonic()
    wait_for(f"{seconds} s of recordings", seconds * 2 + 120, lambda: sum(
        row["endTime90k"] - row["startTime90k"] for row in bench.recordings(stream)) >= seconds * UNITS, 2)
    rows, ours, jumps = bench.compare("recorded")
    check(not jumps, f"packets are missing at {jumps[:5]}")
    took = time.monotonic() - begin
    bench.say(f"{len(ours)} packets in {len(rows)} recordings, each as the camera sent it; the card was written"
              f" {board.card_bytes() - before} bytes in {took:.0f} s")
    check(not board.shell("ls -A /media/nvr/none 2>/dev/null; true").strip(), "something was written without a disk")


def case_syslog(bench):
    """What the recorder logs arrives at an rsyslogd."""
    bench.need_board()
    wait_for("a line from the board", 60, lambda: bench.syslog_file.exists() and
             "moonfire-nvr" in bench.syslog_file.read_text(errors="replace"), 1)


def case_picture(bench):
    """A picture of a recording: the decoder's helper within its own sandbox and the unit's."""
    board, stream = bench.need_recording()
    bench.await_growing()
    jpeg = wait_for("a picture", 60, lambda: board.request("GET", f"{stream}/snapshot.jpg?width=320", raw=True), 3)
    check(jpeg[:2] == b"\xff\xd8", "what was got is no JPEG")
    # It ends some time after its last picture; it was started a moment ago.
    nice = board.shell("ps -eo ni=,args= | grep '[h]elper pictures' | sed 's/^ *//; s/ .*//'").strip()
    check(nice == "19", f"the helper's niceness is {nice or 'not to be seen'}")
    bench.say(f"{len(jpeg)} bytes; the helper's niceness is {nice}")


def case_power(bench):
    """The power is cut while it records; after the next start nothing is lost beyond the sync interval."""
    board, stream = bench.need_recording()
    bench.await_growing()
    seen = bench.recordings(stream)[-1]
    board.kill()
    board.start()
    board.await_page()
    # What was not in the database yet is in the journal on the disk, which comes a while after the page.
    wait_for("the disk to be taken into use again", 180, lambda: any(
        d["state"] in ("recording", "ready") for d in board.get("/api/disks")["disks"]), 1)
    rows = {row["startId"]: row for row in bench.recordings(stream)}
    kept = rows.get(seen["startId"])
    check(kept, "the recording that was growing is gone")
    lost = (seen["endTime90k"] - kept["endTime90k"]) / UNITS
    check(lost <= MOST_LOST_SECONDS, f"{lost:.1f} s of it are lost")
    bench.await_growing()
    rows, ours, jumps = bench.compare("after the power cut")
    check(len(jumps) <= 1, f"more than one gap: {jumps[:5]}")
    bench.say(f"{max(lost, 0):.1f} s lost; {len(ours)} packets in {len(rows)} recordings")


def case_unplug(bench):
    """The disk is pulled out while it is recorded to, and put in again."""
    board, stream = bench.need_recording()
    path = board.disks["disk"]
    board.pull("disk")
    wait_for("the disk to be missed", 120, lambda: all(
        d["state"] in ("away", "failed", "attaching") for d in board.get("/api/disks")["disks"]), 2)
    root = board.shell("df -B1 --output=used / /media | tail -2")
    bench.say(f"missed: {board.get('/api/disks')['disks'][0]['message']}")
    # What was growing is on the disk only, and so may be none of them now.
    time_away = max((row["endTime90k"] for row in bench.recordings(stream)), default=0)
    board.plug("disk", path)

    def again():
        rows = bench.recordings(stream)
        return rows and rows[-1].get("growing") and rows[-1]["startTime90k"] > time_away
    wait_for("it to be recorded to again", 300, again, 2)
    check(root == board.shell("df -B1 --output=used / /media | tail -2"), "something was written in its place")
    gaps = board.get(f"{stream}/gaps")["gaps"]
    check(any(gap["cause"] == "disk" for gap in gaps), f"no gap is put down to the disk: {gaps}")


def case_swap(bench):
    """Another disk takes the place of one that was pulled out; the first comes back with its recordings."""
    board, stream = bench.need_recording()
    first = board.disks["disk"]
    before = wait_for("a recording that is complete", 180, lambda: [
        row for row in bench.recordings(stream) if not row.get("growing")], 2)
    board.pull("disk")
    second = bench.folder / "disk-2.img"
    g.run("truncate", "-s", "3G", str(second))
    board.plug("disk2", second)
    bench.format_empty(board)

    def on_the_second():
        rows = bench.recordings(stream)
        found = [row for row in rows if row["startId"] > before[-1]["startId"] and not row.get("growing")]
        return found and rows[-1].get("growing") and found
    of_second = wait_for("the second disk to be recorded to", 300, on_the_second, 2)
    check(bench.can_be_read(stream, of_second), "what was recorded to the second disk cannot be had")
    check(not bench.can_be_read(stream, before), "the first disk's recordings are there without it")
    board.plug("disk", first)
    wait_for("the first one's recordings", 300, lambda: bench.can_be_read(stream, before), 2)
    # Both are in use now; the second one goes for good.
    board.pull("disk2")
    last = bench.recordings(stream)[-1]["startId"]

    def on_the_first():
        rows = bench.recordings(stream)
        return rows and rows[-1].get("growing") and rows[-1]["startId"] > last and rows[-1]["videoSamples"] > 30
    wait_for("the first disk to be recorded to again", 300, on_the_first, 2)
    check(bench.can_be_read(stream, before), "the first disk's recordings are gone")


def case_emergency(bench):
    """Without a disk nothing is written, unless an allowance on the card is set: then there, and later back on the disk."""
    board, stream = bench.need_recording()
    path = board.disks["disk"]
    used = "df -B1 --output=used /data | tail -1"
    board.pull("disk")
    wait_for("the disk to be missed", 120, lambda: all(
        d["state"] in ("away", "failed", "attaching") for d in board.get("/api/disks")["disks"]), 2)
    before = int(board.shell(used))
    allowed = 100_000_000
    last = max((row["startId"] for row in bench.recordings(stream)), default=0)
    board.request("PATCH", "/api/appliance", {"settings": {"emergencyBytes": allowed}})

    def on_the_card():
        rows = bench.recordings(stream)
        return rows and rows[-1].get("growing") and rows[-1]["startId"] > last and rows[-1]["videoSamples"] > 300
    wait_for("the card to be recorded to", 300, on_the_card, 2)
    check("/media/nvr/emergency " in board.shell("cat /proc/mounts"), "the allowance is not mounted")
    # More is sent than there is room for: the oldest makes room, and the card takes no more than is allowed.
    failed = board.shell("systemctl --failed --plain --no-legend")
    check(not failed.strip(), f"units failed: {failed}")
    grown = int(board.shell(f"sync; {used}")) - before
    check(grown < allowed * 1.1, f"{grown} bytes of the card are used for {allowed} that are allowed")
    bench.say(f"the card has {grown} bytes more, of {allowed} that are allowed")
    board.plug("disk", path)
    on_card = bench.recordings(stream)[-1]["startId"]

    def on_the_disk():
        rows = bench.recordings(stream)
        return rows and rows[-1].get("growing") and rows[-1]["startId"] > on_card
    wait_for("the disk to be recorded to again", 300, on_the_disk, 2)
    kept = [row for row in bench.recordings(stream) if last < row["startId"] <= on_card]
    check(kept and bench.can_be_read(stream, kept), "what was recorded to the card cannot be had")
    board.post("/api/appliance/power", {"action": "reboot"})
    board.await_restart()
    board.await_page()
    # Disks have had their time to come two minutes after a start.
    wait_for("what was recorded to the card, after a restart", 400, lambda: bench.can_be_read(stream, kept), 3)
    board.request("PATCH", "/api/appliance", {"settings": {"emergencyBytes": None}})
    bench.await_growing()


def case_bootfile(bench):
    """A boot file with mistakes: they are told beside it and on the page, and nothing else suffers."""
    board = bench.need_board()
    good = board.read_boot("moonfire-nvr.toml").replace("\r", "")
    board.go_off()
    board.write_boot("moonfire-nvr.toml", good.replace('hostname = "attic"', 'hostnam = "attic"\ntimezone = "Mars/Base"')
                     .replace('timezone = "Europe/Zurich"\n', ""))
    board.start()
    board.await_page()
    problems = board.get("/api/appliance")["problems"]
    told = " ".join(p["message"] for p in problems)
    check("hostnam" in told, f"the mistake is not told: {told}")
    board.await_shell()
    check(board.shell("hostname").strip() == "moonfire-nvr", "the default name does not hold")
    check("hostnam" in board.shell("cat /boot/firmware/moonfire-nvr-problems.txt"), "the text file does not tell it")
    check("hostnam" in board.serial.read_text(errors="replace").split("======== start")[-1], "the console does not tell it")
    board.go_off()
    board.write_boot("moonfire-nvr.toml", "".join(line for line in good.splitlines(True) if "ssh_key" not in line))
    board.start()
    board.await_page()
    check(not board.get("/api/appliance")["problems"], "a boot file without mistakes is complained of")
    check(not board.has_boot("moonfire-nvr-problems.txt"), "the text file is still there")
    # Without a key there is no SSH; with one from the page there is, at once.
    check(board.ssh("true").returncode == 255, "there is SSH without a key")
    bench.let_in()
    check(board.shell("hostname").strip() == "attic", "the boot file's name does not hold")


def case_clock(bench):
    """A board that starts in 1970 records, and what it recorded is moved when the clock comes right."""
    board, stream = bench.need_recording()
    # Its own note of the time is of long ago, so what is left is the time at which the image was made.
    board.shell("find /data /var/lib/systemd/timesync -name clock -path '*timesync*' -exec touch -d @0 {} +; sync")
    board.kill()
    server = TimeServer()
    board.rtc = "1970-01-01T00:00:05"
    try:
        board.start()
        board.await_page()
        row = bench.await_growing()[-1]
        began = time.time() - (row["endTime90k"] - row["startTime90k"]) / UNITS
        told = row["startTime90k"] / UNITS
        bench.say(f"it began to record at {time.strftime('%F %T', time.gmtime(told))}, {began - told:.0f} s behind")
        check(began - told > 60, "the clock was right at once")
        board.await_shell()
        if server.works:
            board.shell("mkdir -p /run/systemd/timesyncd.conf.d && printf '[Time]\\nNTP=10.0.2.2\\n'"
                        " >/run/systemd/timesyncd.conf.d/test.conf && systemctl restart systemd-timesyncd")
        else:
            bench.say("port 123 of this machine cannot be had: the clock is set by hand")
            board.shell(f"date -s @{int(time.time())}")

        def moved():
            now = next((r for r in bench.recordings(stream) if r["startId"] == row["startId"]), None)
            return now and abs(now["startTime90k"] / UNITS - began) < MOST_CLOCK_SECONDS
        wait_for("what was recorded to be moved", 240, moved, 2)
    finally:
        board.rtc = None
        server.stop()


class TimeServer:
    """An NTP server on this machine's port 123, if that may be had: RFC 4330's few fields."""

    def __init__(self):
        self.works = False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind(("127.0.0.1", 123))
        except OSError:
            return
        self.works = True
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                request, peer = self.socket.recvfrom(512)
            except OSError:
                return
            if len(request) >= 48:
                now = int((time.time() + 2_208_988_800) * 2**32)
                stamp = struct.pack("!Q", now % 2**64)
                self.socket.sendto(struct.pack("!BBbbII4s", 0x24, 1, 6, -20, 0, 0, b"TEST") + stamp + request[40:48]
                                   + stamp + stamp, peer)

    def stop(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
