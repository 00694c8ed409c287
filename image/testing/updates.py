"""Cases: updates and the way back, factory reset, backup and restore."""

import shutil
import time

from . import guest as g
from .guest import Failed, check, wait_for


def case_update(bench):
    """An update to a second version, recorded on; and back to the one before."""
    board, _ = bench.need_recording()
    path = bench.bundle("next", bench.options.update)
    before = board.get("/api/appliance")["slots"]
    check(before["running"] == "a", f"slot a is to run: {before}")
    version = install_update(bench, path)
    board.await_restart()
    board.await_page()
    wait_for("the update to be good", 900, lambda: board.get("/api/appliance")["slots"]["good"] == "b", 5)
    state = board.get("/api/appliance")
    check(state["slots"]["running"] == "b" and state["slots"]["versions"]["b"] == version, f"it runs {state['slots']}")
    check(state["update"]["state"] == "good", f"the page says {state['update']}")
    if bench.options.update:
        check(state["version"] == version, f"its root is of {state['version']}")
    check(not board.shell("ls /run/moonfire-trial 2>/dev/null || true").strip(), "it is still on trial")
    bench.await_growing()
    board.post("/api/appliance/update", {"action": "back"})
    board.await_restart()
    board.await_page()
    wait_for("the version before to be good", 900, lambda: board.get("/api/appliance")["slots"]["good"] == "a", 5)
    bench.await_growing()


def case_stick(bench):
    """An update on a USB stick is found, and written to the spare slot."""
    board = bench.need_board()
    bundle = bench.bundle("next", bench.options.update)
    stick = bench.folder / "stick.img"
    stick.unlink(missing_ok=True)
    g.run("truncate", "-s", "256M", str(stick))
    g.run("mkfs.vfat", "-n", "STICK", str(stick))
    g.run("mcopy", "-i", str(stick), str(bundle), "::moonfire-nvr-9.9.9-armv7.update")
    board.plug("stick", stick)
    found = wait_for("the stick to be found", 120, lambda: board.get("/api/appliance")["updateFiles"], 3)
    check(found[0]["version"] == "9.9.9" and found[0]["sizeBytes"] == bundle.stat().st_size, f"it is told as {found}")
    board.post("/api/appliance/update", {"action": "install", "file": found[0]["file"]})
    job = wait_for("it to be written", 600, lambda: bench.ended_job(board), 3)
    check(job["state"] == "done" and job["what"] == "install", f"it was not: {job}")
    state = board.get("/api/appliance")
    check(state["update"]["state"] == "written" and state["slots"]["good"] == "a", f"the page says {state['update']}")
    check(board.shell("grep -c /stick- /proc/mounts || true").strip() == "0", "the stick is still mounted")
    board.pull("stick")
    wait_for("the stick to be missed", 60, lambda: not board.get("/api/appliance")["updateFiles"], 3)


def case_foreign(bench):
    """Updates that are signed with another key, changed, or cut short are refused, and nothing is switched."""
    board = bench.need_board()
    good = bench.bundle("next", bench.options.update)
    changed = bench.folder / "changed.update"
    shutil.copyfile(good, changed)
    with open(changed, "r+b") as file:
        file.seek(-5000, 2)
        byte = file.read(1)[0]
        file.seek(-5000, 2)
        file.write(bytes([byte ^ 1]))
    short = bench.folder / "short.update"
    with open(good, "rb") as whole, open(short, "wb") as cut:
        cut.write(whole.read(1 << 20))
    for path, words in ((bench.bundle("foreign"), "not signed with the key"), (changed, "damaged on the way"),
                        (short, "ends too early")):
        try:
            board.request("PUT", "/api/appliance/update", path)
        except Failed as e:
            check(" 400 " in str(e) and words in str(e), f"{path.name}: {e}")
        else:
            raise Failed(f"{path.name} was taken")
        slots = board.get("/api/appliance")["slots"]
        check((slots["good"], slots["trying"]) == ("a", None), f"after {path.name}: {slots}")
        try:
            board.post("/api/appliance/update", {"action": "start"})
        except Failed as e:
            check(" 409 " in str(e), f"{path.name}: {e}")
        else:
            raise Failed(f"{path.name} was started")
    check(board.read_boot("slot.txt") == "os_prefix=slot_a/\n", "another slot would be booted")


def case_broken(bench):
    """An update whose root cannot be mounted: after three starts the board is back, and records."""
    board, _ = bench.need_recording()
    fall_back(bench, bench.bundle("broken", bench.options.broken_update), "it did not start")


def case_silent(bench):
    """An update that starts, and whose recorder does not: the board gives it up after a time, and records."""
    board, _ = bench.need_recording()
    fall_back(bench, bench.bundle("silent"), "it did not come as far as recording")


def fall_back(bench, path, why):
    board = bench.board
    starts = board.starts
    install_update(bench, path)
    board.await_restart()

    def back():
        if board.has_ended():
            board.process = None
            board.start()
        return board.read_boot("slot.txt") == "os_prefix=slot_a/\n"
    wait_for("it to fall back", 1200, back, 2)
    # What fell back starts anew by itself.
    if not board.slot == "a":
        board.await_restart()
    board.await_page(600)
    state = board.get("/api/appliance")
    check(state["slots"]["running"] == "a", f"it runs {state['slots']}")
    check(state["update"]["state"] == "fellBack" and why in state["update"]["message"], f"the page says {state['update']}")
    bench.await_growing()
    bench.say(f"after {board.starts - starts - 1} starts of it the page says: {state['update']['message']}")


def install_update(bench, path):
    board = bench.board
    begin = time.monotonic()
    version = board.request("PUT", "/api/appliance/update", path)["version"]
    bench.say(f"{version}, {path.stat().st_size} bytes, is written in {time.monotonic() - begin:.0f} s")
    board.post("/api/appliance/update", {"action": "start"})
    return version


def case_reset(bench):
    """A factory reset that keeps recordings, and one that does not."""
    board, stream = bench.need_recording()
    board.request("PATCH", "/api/appliance", {"settings": {"ntpServer": True}})
    before = bench.recordings(stream)
    try:
        board.post("/api/appliance/reset", {"confirm": "another", "recordings": False})
    except Failed as e:
        check(" 409 " in str(e), str(e))
    else:
        raise Failed("it is reset under another name")
    for recordings in (False, True):
        board.post("/api/appliance/reset", {"confirm": "attic", "recordings": recordings})
        board.await_restart()
        board.await_page()
        # Whoever comes first is the administrator again.
        board.become_administrator()
        check(not [c for c in board.get("/api/cameras/")["cameras"] if not c.get("removed")], "a camera is still there")
        told = board.get("/api/appliance")["settings"]
        check(told["ntpServer"] == {"value": False, "from": "default"}, f"a setting is still there: {told}")
        check(told["hostname"] == {"value": "attic", "from": "bootFile"}, "the boot file does not hold any more")
        wait_for("the disk to be used", 180, lambda: any(
            d["state"] in ("recording", "ready") for d in board.get("/api/disks")["disks"]), 2)
        board.post("/api/cameras/", {"camera": {"shortName": "driveway", "streams": {
            "main": {"url": bench.camera.url()}}}})
        bench.await_growing()
        rows = bench.recordings()
        if recordings:
            check(all(row["startTime90k"] > before[-1]["endTime90k"] for row in rows), "old recordings are still listed")
            bench.let_in()
            files = int(board.shell("ls /media/nvr/*/sample | grep -c '^[0-9a-f]\\{16\\}$'"))
            check(files <= len(rows) + 2, f"{files} files of recordings are on the disk for {len(rows)}")
        else:
            check(rows[0]["startId"] == before[0]["startId"] and len(rows) > len(before), "old recordings are gone")
            bench.compare("after the reset")


def case_restore(bench):
    """A backup is restored after a factory reset, and a support bundle has no secrets in it."""
    board, stream = bench.need_recording()
    board.post("/api/users/", {"user": {"username": "bea", "password": "a long password", "permissions": {"viewVideo": True}}})
    board.request("PATCH", "/api/appliance", {"settings": {"ntpServer": True, "wifi": {
        "ssid": "home", "password": "wireless secret", "country": "CH"}}})
    secret = "camera secret"
    board.post("/api/cameras/", {"camera": {"shortName": "yard", "username": "admin", "password": secret, "streams": {
        "main": {"url": bench.camera.url(), "record": False}}}})
    support = board.request("GET", "/api/support", raw=True).decode(errors="replace")
    for word in (secret, "wireless secret", "correct horse", "a long password", board.cookie.split("=", 1)[1], board.csrf):
        check(word not in support, f"the support bundle has {word!r} in it")
    check("driveway" in support and "== the machine ==" in support, f"the support bundle tells little: {support}")
    backup = board.request("POST", "/api/backup", {"passphrase": "battery staple"}, raw=True)
    check(secret.encode() not in backup, "the backup tells a password")
    before = wait_for("a recording that is complete", 180, lambda: [
        row for row in bench.recordings(stream) if not row.get("growing")], 2)
    board.post("/api/appliance/reset", {"confirm": "attic", "recordings": False})
    board.await_restart()
    board.await_page()
    board.become_administrator()
    restore = {"X-CSRF-Token": board.csrf, "X-Passphrase": "another"}
    try:
        board.request("PUT", "/api/restore", backup, restore)
    except Failed as e:
        check(" 400 " in str(e) or " 403 " in str(e), str(e))
    else:
        raise Failed("it is restored with another passphrase")
    told = board.request("PUT", "/api/restore", backup, dict(restore, **{"X-Passphrase": "battery%20staple"}))
    bench.say(f"restored: {told}")
    cameras = {c["shortName"] for c in board.get("/api/cameras/")["cameras"] if not c.get("removed")}
    check(cameras == {"driveway", "yard"}, f"the cameras are {cameras}")
    settings = board.get("/api/appliance")["settings"]
    check(settings["ntpServer"] == {"value": True, "from": "page"}, f"the settings are {settings}")
    check(settings["wifi"]["value"] is None, "a backup has the network in it")
    # What that setting is for: cameras are told the time. A client's packet of version 4, and the server's (RFC 5905).
    answer = wait_for("the time", 60, lambda: board.shell_bytes(
        "exec 3<>/dev/udp/127.0.0.1/123; printf '\\x23" + 47 * "\\x00" + "' >&3; timeout 10 dd bs=48 count=1 <&3 2>/dev/null",
        fail=False), 2)
    check(len(answer) == 48 and answer[0] & 0x3f == 0x24, f"the time is told as {answer}")
    seconds = int.from_bytes(answer[40:44], "big") - 2_208_988_800
    check(abs(seconds - time.time()) < 300, f"the time is told as {seconds}")
    bench.await_growing()
    check(bench.can_be_read(stream, before), "the recordings from before are not the camera's")
    # The user can sign in with the password of before.
    cookie, csrf, board.cookie, board.csrf = board.cookie, board.csrf, None, None
    board.post("/api/login", {"username": "bea", "password": "a long password"})
    board.cookie, board.csrf = cookie, csrf
    board.request("PATCH", "/api/appliance", {"settings": {"ntpServer": None}})
    yard = next(c["uuid"] for c in board.get("/api/cameras/")["cameras"] if c["shortName"] == "yard")
    board.request("DELETE", f"/api/cameras/{yard}/?recordings=delete", {})
    bench.let_in()
