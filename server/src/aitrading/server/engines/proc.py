"""What /proc tells about a process."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

STATE = 0
CPU_TICKS = slice(11, 15)
"""User and system time, and both of children whose end was noticed."""
START_TIME = 19
KB_PER_MB = 1024
_MB = KB_PER_MB * KB_PER_MB


def rss_mb(pid: int) -> float | None:
    """Resident memory now; None when the process is gone."""
    return _field_mb(Path(f"/proc/{pid}/status"), "VmRSS:")


def pss_mb(pid: int) -> float | None:
    """Resident memory with shared pages divided among their users; None when not readable."""
    return _field_mb(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def age_s(pid: int) -> float:
    """How long a process has been running, to a hundredth of a second; 0 when it is gone."""
    found = stat_fields(pid)
    if found is None:
        return 0.0
    uptime_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return max(0.0, uptime_s - int(found[START_TIME]) / os.sysconf("SC_CLK_TCK"))


class Use(NamedTuple):
    """What some processes use together."""

    processes: int
    cpu_s: float
    """Of those that live and of those whose end was noticed."""
    private_bytes: int
    """Memory that is theirs alone: what is mapped from files or shared is left out."""


def use_of(pids: Iterable[int]) -> Use:
    """One that is gone counts nothing."""
    processes, ticks, private_bytes = 0, 0, 0
    for each in pids:
        found = stat_fields(each)
        if found is None:
            continue
        processes += 1
        ticks += sum(int(field) for field in found[CPU_TICKS])
        private_bytes += round((_field_mb(Path(f"/proc/{each}/status"), "RssAnon:") or 0) * _MB)
    return Use(processes, ticks / os.sysconf("SC_CLK_TCK"), private_bytes)


def stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from `STATE` on; None when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def descendants(pid: int) -> list[int]:
    """The processes below one process, itself first."""
    found = [pid]
    for task in found:
        try:
            children = Path(f"/proc/{task}/task/{task}/children").read_text(encoding="ascii")
        except OSError:
            continue
        found.extend(int(child) for child in children.split())
    return found


def _field_mb(path: Path, field: str) -> float | None:
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith(field):
                return round(int(line.split()[1]) / KB_PER_MB, 1)
    except (OSError, ValueError):
        return None
    return None
