"""Cases: what recording costs the card and the processor."""

import time

from .guest import Camera, check, wait_for

# What twelve streams may write to the card in a day.
MOST_CARD_BYTES_A_DAY = 200e6
# Of the database.
PAGE_BYTES = 512


def case_writes(bench):
    """How much is written to the card while twelve streams are recorded."""
    board = bench.need_disk()
    # How many bytes frames have does not matter to the card, but that each has others; few, as a board without a real
    # processor has to bear them.
    camera = Camera(bench.folder, bench.program, size="320x180", rate="150k")
    made = []
    for number in range(12):
        made.append(board.post("/api/cameras/", {"camera": {"shortName": f"small {number}", "streams": {
            "main": {"url": camera.url()}}}})["uuid"])
    wait_for("twelve streams", 300, lambda: sum(
        s.get("recording", False) for c in board.get("/api/")["cameras"] if c["uuid"] in made
        for s in c["streams"].values()) == 12, 3)
    board.await_shell()
    board.shell("sync")
    begin, before, log_before = time.monotonic(), board.card_bytes(), log_of_database(board)
    rss_at = board.get("/api/system")["process"]
    # A condition that only time brings about.
    minutes = bench.options.write_minutes
    wait_for(f"{minutes} min", minutes * 60 + 60, lambda: time.monotonic() - begin > minutes * 60, 5)
    board.shell("sync")
    written, took = board.card_bytes() - before, time.monotonic() - begin
    # What lies in the log now is written once more when it is brought in, each block of the file once.
    log = log_of_database(board)
    new = log[len(log_before):] if log[:len(log_before)] == log_before else log
    pending = 4096 * len({page * PAGE_BYTES // 4096 for page in new})
    day = (written + pending) / took * 86400
    bench.say(f"{written} bytes in {took:.0f} s, and {pending} when the log is brought in: {day / 1e6:.0f} MB a day;"
              f" the recorder has {rss_at['residentBytes'] >> 20} MiB")
    backup = board.request("POST", "/api/backup", {"passphrase": "correct horse"}, raw=True)
    bench.say(f"a backup of {len(made) + 1} cameras and a user has {len(backup)} bytes")
    for uuid in made:
        board.request("DELETE", f"/api/cameras/{uuid}/?recordings=delete", {})
    camera.stop()
    check(day <= MOST_CARD_BYTES_A_DAY, f"{day / 1e6:.0f} MB a day are written to the card")


def log_of_database(board):
    """The pages that the write-ahead log holds, in its order (https://sqlite.org/fileformat2.html, section 4)."""
    log = board.shell_bytes("cat /data/moonfire-nvr/db/db-wal")
    frame = 24 + PAGE_BYTES
    check(int.from_bytes(log[8:12], "big") == PAGE_BYTES, "the log has pages of another size")
    pages = []
    for at in range(32, len(log) - frame + 1, frame):
        if log[at + 8:at + 16] != log[16:24]:
            break
        pages.append(int.from_bytes(log[at:at + 4], "big"))
    return pages


def case_cpu(bench):
    """Instructions a frame of six 1080p30 streams, the kernel's among them, and what share of a Pi 2 that is."""
    board = bench.need_disk()
    board.go_off()
    # One instruction is two nanoseconds of the board's time, so its own accounts of time count instructions.
    nanoseconds = 2
    board.icount = "shift=1"
    camera = Camera(bench.folder, bench.program, size="1920x1080", rate="3700k")
    try:
        board.start()
        board.await_page(900)
        board.await_shell()
        idle, idle_took, _ = busy_of(board)
        made = [board.post("/api/cameras/", {"camera": {"shortName": f"camera {n}", "streams": {
            "main": {"url": camera.url()}}}})["uuid"] for n in range(6)]
        wait_for("six streams", 600, lambda: sum(
            s.get("recording", False) for c in board.get("/api/")["cameras"] if c["uuid"] in made
            for s in c["streams"].values()) == 6, 3)
        before = bench.frames(made)
        busy, took, own = busy_of(board)
        frames = bench.frames(made) - before
        for uuid in made:
            board.request("DELETE", f"/api/cameras/{uuid}/?recordings=delete", {})
    finally:
        camera.stop()
        board.icount = None
        board.kill()
    # Frames come in the host's time, which the board's time may fall behind: they are counted.
    by_all = (busy / took - idle / idle_took) * took * 1e9 / nanoseconds / frames
    by_own = own / nanoseconds / frames
    bench.say(f"{frames} frames, {by_all:.0f} instructions for each, {by_own:.0f} of them the recorder's own (its system calls"
              " included)")
    # A Cortex-A7 at 900 MHz that does an instruction in two cycles; four of them make a Pi 2.
    share = by_all * 180 / (4 * 900e6 * 0.5)
    bench.say(f"{by_all:.0f} x 180 frames a second / (4 cores x 900 MHz x 0.5 instructions a cycle) = {share:.2%} of a Pi 2")
    check(share < 0.03, f"{share:.2%} of a Pi 2")


def busy_of(board, seconds=60):
    """Of some time in the board: how long it was busy and how long it took, in s, and the recorder's time in ns."""
    own = "cat /proc/$(systemctl show -P MainPID moonfire-nvr)/task/*/schedstat | awk '{s += $1} END {print s}'"
    lines = board.shell(f"cat /proc/uptime; {own}; sleep {seconds}; cat /proc/uptime; {own}").splitlines()
    (up, idle), (up2, idle2) = (map(float, lines[i].split()) for i in (0, 2))
    return (up2 - up) - (idle2 - idle), up2 - up, float(lines[3]) - float(lines[1])
