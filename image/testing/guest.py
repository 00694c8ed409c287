"""A board in QEMU that boots an image as a Raspberry Pi does, and what is seen of it from outside.

The firmware of a Pi is played by `Guest`: it reads slot.txt, and from that slot the command line, kernel and initial
RAM disk, each time the machine starts. All else is the image's own. Nothing here needs root.
"""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

# All limits of waiting are for a quiet machine with two cores; how much slower this one may be.
PATIENCE = float(os.environ.get("PATIENCE", "4"))
BOOT_PARTITION = "@@1M"
SMP = {"virt": "2", "raspi2b": "4"}


class Failed(Exception):
    """A case did not go as it should; the message is for people."""


def check(condition, message):
    if not condition:
        raise Failed(message)


def wait_for(what, seconds, look, every=0.5):
    """What `look` yields, once that is something; it is looked for `seconds` at most."""
    end = time.monotonic() + seconds * PATIENCE
    last = None
    while True:
        try:
            found = look()
            if found:
                return found
        except (OSError, http.client.HTTPException, ValueError) as e:
            last = e
        if time.monotonic() > end:
            raise Failed(f"waited {seconds * PATIENCE:.0f} s in vain for {what}" + (f" ({last})" if last else ""))
        time.sleep(every)


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*command, **options):
    """A program of this machine; what it prints. What it complains of, if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: {done.stderr.strip()[-500:]}")
    return done.stdout


class Guest:
    """One card, its board, and the disks that are plugged into it."""

    def __init__(self, folder, image, board="virt", size="2G"):
        self.folder = pathlib.Path(folder)
        self.board = board
        self.card = self.folder / "card.img"
        self.serial = self.folder / "serial.log"
        self.port = free_port()
        self.tls_port = free_port()
        self.ssh_port = free_port()
        self.process = None
        self.qmp = None
        self.starts = 0
        # Which one was started last.
        self.slot = None
        self.disks = {}
        self.rtc = None
        self.icount = None
        # Its address in QEMU's network, the number of its network card, and a cable to another board.
        self.address = "10.0.2.15"
        self.number = 1
        self.cable = None
        # What else the kernel is told.
        self.options = ""
        self.cookie = None
        self.csrf = None
        with open(self.card, "wb") as card:
            subprocess.run(["zstd", "-dcq", str(image)], stdout=card, check=True)
        run("fallocate", "--dig-holes", str(self.card))
        run("truncate", "-s", size, str(self.card))

    # ---- the card, in the reader of a PC ----

    def boot_partition(self):
        return f"{self.card}{BOOT_PARTITION}"

    def read_boot(self, name):
        return run("mtype", "-i", self.boot_partition(), f"::{name}")

    def write_boot(self, name, text):
        path = self.folder / "put"
        path.write_text(text)
        run("mcopy", "-o", "-i", self.boot_partition(), str(path), f"::{name}")

    def boot_folder(self, name, into):
        """Copies a folder of the boot partition into one of this machine."""
        run("mcopy", "-s", "-n", "-i", self.boot_partition(), f"::{name}/*", str(into))

    def root(self, slot, into):
        """Copies the root of a slot, which is as long as its own head says (the kernel's squashfs_fs.h)."""
        with open(self.card, "rb") as card:
            table = card.read(512)
            number = {"a": 1, "b": 2}[slot]
            card.seek(512 * int.from_bytes(table[446 + 16 * number + 8:446 + 16 * number + 12], "little"))
            head = card.read(96)
            check(head[:4] == b"hsqs", f"slot {slot} has no root")
            card.seek(-96, os.SEEK_CUR)
            left = (int.from_bytes(head[40:48], "little") + 4095) // 4096 * 4096
            with open(into, "wb") as root:
                while left:
                    piece = card.read(min(left, 1 << 20))
                    root.write(piece)
                    left -= len(piece)

    def has_boot(self, name):
        return subprocess.run(["mdir", "-b", "-i", self.boot_partition(), f"::{name}"], capture_output=True).returncode == 0

    # ---- the board ----

    def firmware(self):
        """What the firmware of a Pi does before the kernel."""
        match = re.fullmatch(r"os_prefix=(slot_[ab])/\n", self.read_boot("slot.txt"))
        check(match, "slot.txt is not as the firmware wants it")
        slot = match[1]
        self.slot = slot[-1]
        names = ["vmlinuz", "initrd.img"] + (["bcm2836-rpi-2-b.dtb"] if self.board == "raspi2b" else [])
        for name in names:
            run("mcopy", "-o", "-n", "-i", self.boot_partition(), f"::{slot}/{name}", str(self.folder / name))
        command_line = self.read_boot(f"{slot}/cmdline.txt").strip()
        # QEMU's raspi2b resets when its watchdog is armed.
        return command_line.replace("serial0", "ttyAMA0") + " systemd.watchdog_sec=off console=ttyAMA0" + self.options

    def start(self):
        command_line = self.firmware()
        self.starts += 1
        with open(self.serial, "a") as log:
            log.write(f"\n======== start {self.starts}: {command_line}\n")
        net = "user,id=n0"
        for here, there in ((self.port, 80), (self.tls_port, 443), (self.ssh_port, 22)):
            net += f",hostfwd=tcp:127.0.0.1:{here}-{self.address}:{there}"
        qmp = self.folder / "qmp"
        command = ["qemu-system-arm", "-display", "none", "-no-reboot", "-monitor", "none",
                   "-qmp", f"unix:{qmp},server=on,wait=off", "-netdev", net,
                   "-chardev", f"file,id=serial,path={self.serial},append=on", "-serial", "chardev:serial",
                   "-kernel", str(self.folder / "vmlinuz"), "-initrd", str(self.folder / "initrd.img"),
                   "-append", command_line]
        # Counting instructions, QEMU takes one after the other.
        command += ["-icount", self.icount, "-smp", "1"] if self.icount else ["-accel", "tcg,thread=multi", "-smp", SMP[self.board]]
        if self.board == "virt":
            command += ["-M", "virt,highmem=off", "-cpu", "cortex-a15", "-m", "1024",
                        "-drive", f"file={self.card},if=none,format=raw,id=card", "-device", "virtio-blk-pci,drive=card",
                        "-device", "virtio-net-pci,netdev=n0", "-device", "virtio-rng-pci", "-device", "qemu-xhci,id=usb"]
        else:
            command += ["-M", "raspi2b", "-dtb", str(self.folder / "bcm2836-rpi-2-b.dtb"), "-serial", "null",
                        "-drive", f"file={self.card},if=sd,format=raw", "-device", "usb-net,netdev=n0"]
        if self.cable:
            command += ["-netdev", f"stream,id=n1,{self.cable}",
                        "-device", f"virtio-net-pci,netdev=n1,mac=52:54:00:4d:4e:{self.number:02x}"]
        if self.rtc:
            command += ["-rtc", f"base={self.rtc},clock=vm"]
        qmp.unlink(missing_ok=True)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=open(self.folder / "qemu.log", "a"))
        self.qmp = wait_for("QEMU", 30, lambda: Qmp(qmp), 0.05)
        for name, path in self.disks.items():
            self.plug(name, path)

    def kill(self):
        """The power is cut."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def has_ended(self):
        return self.process is not None and self.process.poll() is not None

    def go_off(self, seconds=180):
        """The board is asked to power off, and does."""
        self.shell("systemctl poweroff", fail=False)
        wait_for("the board to go off", seconds, self.has_ended)
        self.process = None

    def await_restart(self, seconds=300):
        """The board reboots; the firmware comes again."""
        wait_for("the board to start anew", seconds, self.has_ended)
        self.process = None
        self.start()

    def plug(self, name, path):
        """A disk is plugged into a USB port."""
        self.qmp.do("blockdev-add", **{"driver": "raw", "node-name": name,
                                       "file": {"driver": "file", "filename": str(path)}})
        self.qmp.do("device_add", driver="usb-storage", id=f"usb-{name}", drive=name, removable=False)
        self.disks[name] = path

    def pull(self, name):
        """The disk is pulled out."""
        del self.disks[name]
        self.qmp.do("device_del", id=f"usb-{name}")

        def gone():
            try:
                self.qmp.do("blockdev-del", **{"node-name": name})
                return True
            except Failed:
                return False
        wait_for("the disk to be gone", 30, gone)

    # ---- what is served ----

    def request(self, method, path, body=None, headers=None, raw=False):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * PATIENCE)
        try:
            headers = dict(headers or {})
            headers["Host"] = "127.0.0.1"
            if self.cookie:
                headers["Cookie"] = self.cookie
            if body is not None and not isinstance(body, (bytes, pathlib.Path)):
                if self.csrf:
                    body = dict(body, csrf=self.csrf)
                body = json.dumps(body)
            elif self.csrf and method not in ("GET", "HEAD"):
                headers["X-CSRF-Token"] = self.csrf
            if isinstance(body, pathlib.Path):
                headers["Content-Length"] = str(body.stat().st_size)
                body = open(body, "rb")
            try:
                connection.request(method, path, body=body, headers=headers)
            except (BrokenPipeError, ConnectionResetError):
                # What is refused is not read to its end; why stands in the answer.
                pass
            answer = connection.getresponse()
            data = answer.read()
            if answer.status >= 400:
                raise Failed(f"{method} {path}: {answer.status} {data.decode(errors='replace')[:300]}")
            for cookie in answer.headers.get_all("Set-Cookie") or []:
                self.cookie = cookie.split(";")[0]
            if raw:
                return data
            return json.loads(data) if data.strip() else None
        finally:
            connection.close()

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body):
        return self.request("POST", path, body)

    def await_page(self, seconds=300):
        """Until the page is served. A board that cannot start (on a machine that is too busy, mounting takes too long) starts
        anew by itself, and gets a few tries at that."""
        tries = 3

        def up():
            nonlocal tries
            if self.has_ended():
                tries -= 1
                check(tries > 0, "the board went off instead of serving the page")
                self.process = None
                self.start()
            return self.request("GET", "/healthz", raw=True) == b"ok\n"
        wait_for("the page", seconds, up)

    def become_administrator(self):
        """Makes the first user, which only works where there is none."""
        self.cookie = self.csrf = None
        self.post("/api/setup", {"username": "anna", "password": "correct horse"})
        self.csrf = self.get("/api/")["user"]["session"]["csrf"]

    # ---- for those who look inside ----

    def make_key(self):
        key = self.folder / "key"
        if not key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(key))
        return (self.folder / "key.pub").read_text().strip()

    def ssh(self, command, key=None, given=None):
        return subprocess.run(
            ["ssh", "-F", "none", "-i", str(key or self.folder / "key"), "-o", "IdentitiesOnly=yes", "-p", str(self.ssh_port),
             "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes",
             "-o", f"ConnectTimeout={int(60 * PATIENCE)}", "root@127.0.0.1", command],
            capture_output=True, input=given, timeout=180 * PATIENCE)

    def shell(self, command, fail=True, given=None):
        """Runs a command in the board, as root; what it prints."""
        return self.shell_bytes(command, fail, given).decode(errors="replace")

    def shell_bytes(self, command, fail=True, given=None):
        done = self.ssh(command, given=given)
        if fail and done.returncode != 0:
            raise Failed(f"in the board, {command}: {(done.stdout[-300:] + done.stderr[-300:]).decode(errors='replace')}")
        return done.stdout

    def await_shell(self, seconds=120):
        wait_for("SSH", seconds, lambda: self.shell("true; echo up", fail=False) == "up\n", 2)

    def card_bytes(self):
        """What has been written to the card since the board started."""
        return 512 * int(self.shell("cat /sys/class/block/$(basename $(readlink /run/moonfire-card))/stat").split()[6])


class Qmp:
    """QEMU's monitor."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("r")
        self.lines.readline()
        self.do("qmp_capabilities")

    def do(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                raise Failed(f"QEMU's {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]


class Camera:
    """A simulated camera on this machine, which loops a clip of which each picture is another one."""

    def __init__(self, folder, program, name="driveway", size="1280x720", rate="2M", seconds=20):
        self.folder = pathlib.Path(folder)
        self.clip = self.folder / f"clip-{size}-{rate}.mp4"
        if not self.clip.exists():
            run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30:duration={seconds},noise=alls=12:allf=t",
                "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "main", "-bf", "0", "-g", "60", "-b:v", rate, "-maxrate", rate, "-bufsize", rate,
                "-pix_fmt", "yuv420p", str(self.clip))
        self.port = free_port()
        self.process = subprocess.Popen(
            [str(program), "simulate-camera", "--listen", f"127.0.0.1:{self.port}", "--name", name,
             "--file", str(self.clip)], stdout=subprocess.DEVNULL, stderr=open(self.folder / "camera.log", "a"))
        wait_for("the camera", 60, self.answers)

    def answers(self):
        with socket.create_connection(("127.0.0.1", self.port), 5):
            return True

    def url(self):
        return f"rtsp://10.0.2.2:{self.port}/main"

    def stop(self):
        self.process.kill()
        self.process.wait()

    def packets(self, path=None):
        return packets(path or self.clip)


def packets(path):
    """The hash of each packet's slices, in order: other NAL units (parameter sets, delimiters) may come and go."""
    done = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v", "-c", "copy", "-bsf:v",
                           "filter_units=pass_types=1|5", "-f", "framehash", "-hash", "md5", "-"], capture_output=True, text=True)
    check(done.returncode == 0, f"{path} cannot be read: {done.stderr[-300:]}")
    return [line.rsplit(",", 1)[1].strip() for line in done.stdout.splitlines() if line and not line.startswith("#")]


def decoded(path):
    """How many pictures of it can be decoded; any complaint is a failure."""
    done = subprocess.run(["ffmpeg", "-v", "warning", "-xerror", "-i", str(path), "-map", "0:v", "-f", "framehash", "-"],
                          capture_output=True, text=True)
    check(done.returncode == 0 and not done.stderr.strip(), f"{path} cannot be decoded: {done.stderr[-300:]}")
    return sum(1 for line in done.stdout.splitlines() if line and not line.startswith("#"))


def tools_missing():
    names = ["qemu-system-arm", "zstd", "mcopy", "mtype", "mdir", "ssh", "ssh-keygen", "ffmpeg", "mke2fs", "mkfs.vfat",
             "rsyslogd", "unsquashfs", "mksquashfs", "fakeroot"]
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    os.environ["PATH"] = path
    return [name for name in names if not shutil.which(name, path=path)]
