"""Faults in a running platform: processes that are gone or hang, files that are damaged."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.platform import Platform, wait_until


@contextmanager
def outage(platform: Platform, *names: str) -> Iterator[None]:
    """Processes are dead for the time of the block: their supervisor is held meanwhile.

    On return all of them have been started again and the platform is ready.
    """
    platform.renew_tokens()
    pids = {name: platform.pid_of(name) for name in names}
    with held(platform.process.pid):
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        for name, pid in pids.items():
            wait_until(lambda pid=pid: not is_alive(pid), what=f"the end of {name}")
        yield
    for name, pid in pids.items():
        platform.wait_back(name, pid)


@contextmanager
def frozen(platform: Platform, *names: str) -> Iterator[None]:
    """Processes, and the processes they started, do nothing for the time of the block.

    Their supervisor is held meanwhile: it would end them after half a minute without an answer.
    """
    platform.renew_tokens()
    with held(platform.process.pid), ExitStack() as stack:
        for name in names:
            pid = platform.pid_of(name)
            for one in (pid, *children_of(pid)):
                stack.enter_context(held(one))
        yield


@contextmanager
def held(pid: int) -> Iterator[None]:
    """A process is stopped for the time of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def broken_folder(platform: Platform, owner: str, folder: Path) -> Iterator[None]:
    """A folder of a process takes and gives no data for the time of the block."""
    folder = folder.resolve()
    away = folder.with_name(f"{folder.name}.away")
    with frozen(platform, owner):
        folder.rename(away)
        folder.write_text("in the way")
    try:
        yield
    finally:
        with frozen(platform, owner):
            folder.unlink()
            away.rename(folder)


def damage(path: Path) -> None:
    """Change bytes in the middle of a file, as a failing disk does."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        found = file.read(8)
        file.seek(-len(found), os.SEEK_CUR)
        file.write(bytes(byte ^ 0xFF for byte in found))


def children_of(pid: int) -> list[int]:
    """The processes a process has started."""
    found: list[int] = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == pid:
            found.append(int(status.parent.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether a process still runs; a dead one that nobody has buried does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"
