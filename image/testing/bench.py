"""What the cases of image/test share: one board, one camera, a syslog server."""

import pathlib
import http.client
import socket
import subprocess
import time

from . import guest as g
from .guest import Camera, Failed, Guest, check, wait_for

UNITS = 90_000


class Bench:
    """What the cases share: one board, one camera, a syslog server."""

    def __init__(self, folder, options):
        self.folder = folder
        self.options = options
        self.program = options.program
        self.board = None
        self.camera = None
        self.syslog_port = g.free_port(socket.SOCK_DGRAM)
        self.syslog_file = folder / "syslog.log"
        self.syslog = None
        self.mp4 = folder / "view.mp4"

    def say(self, text):
        print(f"    {text}", flush=True)

    def need_board(self):
        """A board that was set up by its boot file only, with its page up."""
        if self.board:
            return self.board
        self.start_syslog()
        board = Guest(self.folder, self.options.image, self.options.board, self.options.size)
        if self.options.verbose:
            board.options = " systemd.journald.forward_to_console=1"
        key = board.make_key()
        board.write_boot("moonfire-nvr.toml", f"""
[appliance]
hostname = "attic"
timezone = "Europe/Zurich"
ssh_key = "{key}"
[syslog]
to = "udp:10.0.2.2:{self.syslog_port}"
""")
        self.board = board
        begin = time.monotonic()
        board.start()
        board.await_page()
        self.say(f"the page is up {time.monotonic() - begin:.0f} s after the power came")
        board.become_administrator()
        return board

    def need_disk(self):
        """A disk, blank when it is plugged in, made ready through the page's interface."""
        board = self.need_board()
        if board.disks:
            return board
        path = self.folder / "disk.img"
        is_new = not path.exists()
        if is_new:
            g.run("truncate", "-s", "4G", str(path))
        board.plug("disk", path)
        if is_new:
            self.format_empty(board)
        wait_for("the recorder to take the disk", 120, lambda: any(
            d["state"] in ("recording", "ready") for d in board.get("/api/disks")["disks"]), 2)
        return board

    def format_empty(self, board):
        """Makes the blank disk that is plugged in ready, through the page's interface."""
        def begun():
            disk = next((d for d in board.get("/api/appliance/disks")["disks"] if d["state"] == "empty"), None)
            if not disk:
                return None
            try:
                board.post("/api/appliance/disks", {"action": "format", "disk": disk["id"], "confirm": disk["confirm"]})
            except Failed as e:
                # Its serial number had not been found out yet when it was listed.
                check(" 409 " in str(e), str(e))
                return None
            return disk
        disk = wait_for("the disk to be listed", 120, begun, 2)
        self.say(f"{disk['model']}, {disk['sizeBytes']} bytes, is formatted")
        job = wait_for("the disk to be formatted", 300, lambda: self.ended_job(board), 2)
        check(job["state"] == "done", f"formatting failed: {job['message']}")

    @staticmethod
    def ended_job(board):
        job = board.get("/api/appliance/job")["job"]
        return job if job and job["state"] != "running" else None

    def need_recording(self):
        """A camera that is being recorded to the disk; its stream's path."""
        board = self.need_disk()
        if not self.camera:
            self.camera = Camera(self.folder, self.program)
            board.post("/api/cameras/", {"camera": {"shortName": "driveway", "streams": {
                "main": {"url": self.camera.url()}}}})
        stream = self.stream()
        self.await_growing()
        return board, stream

    def let_in(self):
        """SSH, by the page if not by the boot file."""
        if self.board.get("/api/appliance")["settings"]["sshKeys"]["from"] != "bootFile":
            self.board.request("PATCH", "/api/appliance", {"settings": {"sshKeys": [self.board.make_key()]}})
        self.board.await_shell()

    def stream(self):
        cameras = self.board.get("/api/")["cameras"]
        return f"/api/cameras/{cameras[0]['uuid']}/main"

    def recordings(self, stream=None):
        """Each recording for itself, the oldest first."""
        rows = self.board.get(f"{stream or self.stream()}/recordings?split90k=1")["recordings"]
        return sorted(rows, key=lambda row: row["startId"])

    def frames(self, cameras):
        """How many frames of their main streams have been recorded."""
        total = 0
        for uuid in cameras:
            rows = self.board.get(f"/api/cameras/{uuid}/main/recordings")["recordings"]
            total += sum(row["videoSamples"] for row in rows)
        return total

    def can_be_read(self, stream, rows):
        """Whether the first and last of these recordings are still listed, and their bytes can be had."""
        listed = {row["startId"] for row in self.recordings(stream)}
        for row in (rows[:1] + rows[-1:]):
            if row["startId"] not in listed:
                return False
            try:
                self.board.request("GET", f"{stream}/view.mp4?s={row['startId']}", raw=True)
            except (Failed, http.client.HTTPException):
                return False
        return True

    def await_growing(self, seconds=180):
        """Until the stream is being recorded; what of it there is then."""
        def growing():
            rows = self.recordings()
            return rows if rows and rows[-1].get("growing") and rows[-1]["videoSamples"] > 30 else None
        return wait_for("a growing recording", seconds, growing, 1)

    def compare(self, what):
        """Everything that was recorded, as one file on this machine: decoded, and each packet against the clip's."""
        stream = self.stream()
        rows = self.recordings(stream)
        # Numbers are left out where another disk took over.
        wanted = "&".join(f"s={row['startId']}" for row in rows)
        self.mp4.write_bytes(self.board.request("GET", f"{stream}/view.mp4?{wanted}", raw=True))
        pictures = g.decoded(self.mp4)
        ours, clip = g.packets(self.mp4), self.camera.packets()
        check(len(ours) == pictures, f"{len(ours)} packets, {pictures} pictures")
        check(len(set(clip)) == len(clip), "two pictures of the clip are alike")
        at = {packet: i for i, packet in enumerate(clip)}
        missing, jumps = 0, []
        for i, packet in enumerate(ours):
            check(packet in at, f"{what}: packet {i} is none of the camera's")
            if i:
                step = (at[packet] - at[ours[i - 1]]) % len(clip)
                if step != 1:
                    jumps.append((i, step))
                    missing += (step - 1) % len(clip)
        return rows, ours, jumps

    def bundle(self, kind, given=None):
        """An update, made of the image itself: `next` is the same again, of another version; `foreign` is signed with
        another key; `broken` has no root; of `silent` the recorder does not start."""
        path = pathlib.Path(given) if given else self.folder / f"{kind}.update"
        if path.exists():
            return path
        key = self.options.key
        check(key, "--key FILE is needed: the key that updates of this image are signed with")
        boot, root = self.folder / "boot-of-a", self.folder / "root-of-a"
        if not root.exists():
            boot.mkdir()
            self.board.boot_folder("slot_a", boot)
            (boot / "version").unlink(missing_ok=True)
            line = (boot / "cmdline.txt").read_text()
            (boot / "cmdline.txt").write_text(line.replace("moonfire.slot=a", "moonfire.slot=@SLOT@"))
            self.board.root("a", root)
        if kind == "foreign":
            key = self.folder / "foreign-key"
            g.run(str(self.program), "appliance", "new-key", str(key))
        elif kind == "broken":
            root = self.folder / "no-root"
            root.write_bytes(bytes(1 << 20))
        elif kind == "silent":
            whole, root = root, self.folder / "silent-root"
            tree = self.folder / "tree"
            unit = "etc/systemd/system/moonfire-nvr.service.d/zz.conf"
            timer = "etc/systemd/system/moonfire-nvr-trial.timer.d/zz.conf"
            g.run("fakeroot", "sh", "-euc", f"""
unsquashfs -q -n -no-xattrs -d '{tree}' '{whole}' >/dev/null
mkdir -p '{tree}/etc/systemd/system/moonfire-nvr.service.d' '{tree}/etc/systemd/system/moonfire-nvr-trial.timer.d'
printf '[Service]\nExecStart=\nExecStart=/usr/bin/false\n' >'{tree}/{unit}'
printf '[Timer]\nOnBootSec=\nOnBootSec=90s\n' >'{tree}/{timer}'
mksquashfs '{tree}' '{root}' -quiet -no-progress -comp zstd -Xcompression-level 1 -noappend
rm -r '{tree}'""")
        g.run(str(self.program), "appliance", "bundle", "--key", str(key), "--version", f"9.9.9-{kind}", "--root", str(root),
              "--boot", str(boot), "--output", str(path))
        return path

    def start_syslog(self):
        config = self.folder / "rsyslog.conf"
        config.write_text(f"""module(load="imudp")
input(type="imudp" address="127.0.0.1" port="{self.syslog_port}")
*.* action(type="omfile" file="{self.syslog_file}")
""")
        self.syslog = subprocess.Popen(["rsyslogd", "-n", "-f", str(config), "-i", str(self.folder / "rsyslog.pid")],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def go_on(self):
        """After a case that failed: a board that is off, or goes off, is started again."""
        try:
            if not self.board.process:
                self.board.start()
            self.board.await_page()
            return True
        except (Failed, OSError) as e:
            print(f"   nor does it start again: {e}", flush=True)
            return False

    def stop(self):
        if self.board:
            self.board.kill()
        if self.camera:
            self.camera.stop()
        if self.syslog:
            self.syslog.kill()
            self.syslog.wait()
