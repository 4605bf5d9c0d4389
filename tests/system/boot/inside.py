"""Runs in the booted machine as a service of its own: plays a user and bad luck, and writes what it finds as JSON lines.

Standard library only. argv: the virtual environment, the folder with camera.py and stills, the file to write to, and "whole" or
"short": without what is the same on every release.
It judges nothing: tests/system/test_boot.py does.
"""

from __future__ import annotations

import base64
import ctypes
import http.client
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from machine import TOKEN, UNIT, Viewer, back, colour, command_of, files, get, journal, pid, run, shown, state, status_with, tell, until

PREFIX, HERE, WHOLE = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[4] == "whole"
SETTINGS = Path("/etc/edgecolor/front.toml")
COMMON = '[http]\ntoken_file = "token"\n[live]\nchroma_rate = 1.0\nretry_most = 3.0\n'
DEMO = f'[source]\naddress = "demo"\n{COMMON}'
CAMERA = f'[source]\naddress = "http://127.0.0.1:9000/"\ntimeout = 2.0\n{COMMON}'
PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000


def install() -> None:
    edgecolor = PREFIX / "bin/edgecolor"
    code, text = run(edgecolor, "service", "install", "front")
    again, repeated = run(edgecolor, "service", "install")
    tell("install", code=code, text=text, again=again, repeated=repeated)
    tell("verify", unit=run("systemd-analyze", "verify", UNIT), socket=run("systemd-analyze", "verify", "edgecolor@front.socket", UNIT))
    Path("/etc/edgecolor/front.secrets/token").write_text(TOKEN + "\n")
    SETTINGS.write_text(DEMO)


def start() -> None:
    begin = time.monotonic()
    code, text = run("systemctl", "start", UNIT)
    took = round(time.monotonic() - begin, 1)
    tell("start", code=code, text=text + (journal() if code else ""), seconds=took, status=get("/healthz")[0], **shown("ActiveState"))
    still, took = until("colour", colour)
    viewer = Viewer()
    status, _ = until("systemd is told", lambda: status_with("colour guesses/s"), 60)
    until("the viewer sees something", lambda: viewer.parts > 0)
    tell("colour", seconds=took, jpeg=base64.b64encode(still).decode(), status=status, parts=viewer.parts, stranger=stranger())
    viewer.close()
    uid = next(line.split()[1] for line in Path(f"/proc/{pid()}/status").read_text().splitlines() if line.startswith("Uid:"))
    tell("user", uid=int(uid), state=oct(Path("/var/lib/private/edgecolor/front").stat().st_mode & 0o777))


def stranger() -> int:
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=10)
    connection.request("GET", "/state")
    return connection.getresponse().status


def freeze() -> None:
    process, begin = pid(), time.monotonic()
    os.kill(process, signal.SIGSTOP)
    back("freeze", process, begin)


def hang() -> None:
    """Stop every thread but the first, which runs the event loop; a debugger would do it so."""
    process = pid()
    for _ in range(20):
        holder = os.fork()
        if holder == 0:
            _hold(process)
        time.sleep(1.0)
        try:
            answers = get("/healthz")[0]
            break
        except OSError:  # a thread was stopped while it held the interpreter's lock: that would be another test
            os.kill(holder, signal.SIGKILL)
            os.waitpid(holder, 0)
            time.sleep(1.0)
    begin = time.monotonic()
    until("no heartbeat is told", lambda: "no heartbeat" in journal(), 60)
    told = round(time.monotonic() - begin, 1)
    tell("hang begins", healthz=answers, told_after=told, **shown("StatusText"))
    back("hang", process, begin)
    os.waitpid(holder, 0)
    text = journal()
    traced, threads = "Fatal Python error: Aborted" in text, text.count("Thread 0x")
    tell("hang journal", watchdog=text.count("Watchdog timeout"), traceback=traced, threads=threads)


def _hold(process: int) -> None:
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for task in Path(f"/proc/{process}/task").iterdir():
        if int(task.name) != process:
            ptrace(PTRACE_SEIZE, int(task.name), None, None)
            ptrace(PTRACE_INTERRUPT, int(task.name), None, None)
    while True:
        try:
            os.waitpid(-1, WALL)
        except ChildProcessError:  # all are gone
            os._exit(0)


def kill() -> None:
    process, begin = pid(), time.monotonic()
    os.kill(process, signal.SIGKILL)
    back("kill", process, begin)


def camera() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, HERE / "camera.py", HERE / "stills", "4"])


def reload(viewer: Viewer) -> subprocess.Popen[bytes]:
    """Gives the camera that it runs with from now on."""
    process = pid()
    until("the viewer sees something", lambda: viewer.parts > 2)
    SETTINGS.write_text(DEMO.replace("chroma_rate", "chroma_rat"))
    code, _ = run("systemctl", "reload", UNIT)
    status, _ = until("a refusal", lambda: status_with("refused"), 60)
    tell("bad reload", code=code, status=status, name=state()["source"]["name"], logged="front.toml:" in journal())
    running = camera()
    SETTINGS.write_text(CAMERA)
    begin = time.monotonic()
    code, _ = run("systemctl", "reload", UNIT)
    until("another source", lambda: "9000" in state()["source"]["name"], 60)
    until("it is live", lambda: state()["state"] == "live" and viewer.origin == "guess", 60)
    before = viewer.parts
    until("the same viewer sees it", lambda: viewer.parts > before + 3, 60)
    tell("reload", code=code, seconds=round(time.monotonic() - begin, 1), same_process=pid() == process, viewer_ended=viewer.ended,
         **shown("StatusText"))  # fmt: skip
    return running


def lose(viewer: Viewer, running: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Gives the camera that it found again."""
    process = pid()
    running.kill()
    running.wait()
    begin = time.monotonic()
    until("the loss", lambda: state()["state"] == "lost", 60)
    lost = round(time.monotonic() - begin, 1)
    until("the viewer is told", lambda: viewer.origin == "placeholder", 60)
    status, _ = until("systemd is told", lambda: status_with("lost: "), 60)
    time.sleep(30)  # longer than the watchdog waits: a lost camera is no hang
    tell("loss", seconds=lost, status=status, same_process=pid() == process, viewer_ended=viewer.ended)
    running = camera()
    _, took = until("it is back", lambda: state()["state"] == "live" and viewer.origin == "guess", 60)
    tell("regain", seconds=took, same_process=pid() == process, viewer_ended=viewer.ended)
    return running


def jump(viewer: Viewer) -> None:
    """The clock learns the time late, or wrongly: far forward, then far back."""
    process, real, begin, seen = pid(), time.time(), time.monotonic(), []
    for year in (2040, 1990):
        run("date", "--set", f"{year}-01-01T00:00:00Z")
        losses, parts, sent = state()["source"]["losses"], viewer.parts, state()["frames"]["out"]
        time.sleep(20)  # longer than the watchdog waits
        now = state()
        seen.append({"year": time.gmtime().tm_year, "lost": now["source"]["losses"] != losses, "state": now["state"], "since": now["since"],
                     "parts": viewer.parts - parts, "frames": now["frames"]["out"] - sent, "health": get("/healthz")[0]})  # fmt: skip
    time.clock_settime(time.CLOCK_REALTIME, real + time.monotonic() - begin)
    tell("clock", jumps=seen, same_process=pid() == process, viewer_ended=viewer.ended)


def wear() -> None:
    """What a quarter of a minute of streaming writes: the process to any disk, and lines to the journal."""
    def written(process: str) -> int:
        return int(next(line.split()[1] for line in Path(f"/proc/{process}/io").read_text().splitlines() if line.startswith("write_bytes")))

    process, frames, lines = str(pid()), state()["frames"]["out"], journal().count("\n")
    before = written(process)
    time.sleep(15)
    after, control = written(process), written("self")
    with Path("/check/control").open("wb") as file:  # that the counter does count
        file.write(bytes(100_000))
    tell("wear", bytes=after - before, lines=journal().count("\n") - lines, frames=state()["frames"]["out"] - frames,
         control=written("self") - control)  # fmt: skip
    Path("/check/control").unlink()


def memory() -> None:
    rss = next(line.split()[1] for line in Path(f"/proc/{pid()}/status").read_text().splitlines() if line.startswith("VmRSS"))
    told = shown("MemoryCurrent", "MemoryPeak", "NRestarts", "TasksCurrent")
    tell("memory", rss_mb=int(rss) // 1024, **{k: int(v) for k, v in told.items() if v.isdigit()})


def fill() -> None:
    """A disk without one free block: the stream goes on, and comes back after a kill."""
    viewer, rest = Viewer(), Path("/rest")
    if not Path("/tmp").is_mount():
        # Debian 12: its systemd prepares a service's /dev in /tmp, so that no service starts again without room there.
        run("mount", "-t", "tmpfs", "tmpfs", "/tmp")
    until("the viewer sees something", lambda: viewer.parts > 2)
    with rest.open("wb") as file:
        end = 0
        for step in (1 << 28, 1 << 20, 1 << 12):  # blocks are taken, nothing is written: a viewer is not starved by the disk
            try:
                while True:
                    os.posix_fallocate(file.fileno(), end, step)
                    end += step
            except OSError as error:
                full = error.strerror
    parts = viewer.parts
    until("it goes on", lambda: viewer.parts > parts + 8, 60)
    begin, process = time.monotonic(), pid()
    os.kill(process, signal.SIGKILL)
    back("full disk", process, begin)
    free = os.statvfs("/")
    tell("full", error=full, blocks=free.f_bavail, colour=bool(until("colour", colour)[0]))
    rest.unlink()


def lock() -> None:
    """A root that nobody can write to: as before."""
    run("journalctl", "--relinquish-var")  # journald holds a file open, as on no root that is read-only from the beginning
    code, text = run("mount", "-o", "remount,ro", "/")
    viewer = Viewer()
    until("the viewer sees something", lambda: viewer.parts > 2)
    begin, process = time.monotonic(), pid()
    os.kill(process, signal.SIGKILL)
    back("read-only root", process, begin)
    try:
        Path("/probe").touch()
        refused = ""
    except OSError as error:
        refused = str(error.strerror)
    tell("locked", code=code, text=text, refused=refused, colour=bool(until("colour", colour)[0]))
    run("mount", "-o", "remount,rw", "/")


def end(running: subprocess.Popen[bytes], before: set[str]) -> None:
    begin = time.monotonic()
    code, _ = run("systemctl", "stop", UNIT)
    tell("stop", code=code, seconds=round(time.monotonic() - begin, 2), **shown("ActiveState", "Result", "ExecMainStatus"))
    running.kill()
    running.wait()
    code, text = run(PREFIX / "bin/edgecolor", "service", "uninstall")
    again, _ = run(PREFIX / "bin/edgecolor", "service", "uninstall")
    left = [path.name for path in Path("/proc").glob("[0-9]*") if b"edgecolor" in command_of(path) and b"inside.py" not in command_of(path)]
    secrets = [str(path) for path in Path("/run/credentials").glob("*edgecolor*")]
    tell("uninstall", code=code, again=again, text=text, running=left, secrets=secrets, files=sorted(files() - before))


def main() -> None:
    tell("booted", python=sys.version.split()[0], systemd=run("systemctl", "--version")[1].split("\n")[0])
    before = files()
    for step in (install, start, freeze, *((kill,) if WHOLE else ())):
        step()
    viewer = Viewer()
    running = reload(viewer)
    if WHOLE:
        running = lose(viewer, running)
        jump(viewer)
        wear()
        hang()
    memory()
    fill()
    lock()
    end(running, before)
    tell("done")


try:
    main()
except BaseException:  # noqa: BLE001 - whatever it is, the host must know
    tell("failed", error=traceback.format_exc(), journal=journal()[-6000:], **shown("ActiveState", "StatusText", "Result"))
finally:
    run("systemctl", "poweroff", "--force", "--force")
