"""Checks of the machine: programs, disk, clock, limits, the user PostgreSQL runs as."""

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.engines.binaries import (
    envoy_binary,
    nats_binary,
    postgres_binary,
    postgres_install,
    valkey_binary,
)
from aitrading.server.engines.linux import clock_is_synchronised
from aitrading.server.engines.os_user import confinement_for
from aitrading.server.supervisor.doctor.encryption import check_encryption
from aitrading.server.supervisor.doctor.finding import Finding, fine, problem, unverified, wrong
from aitrading.server.supervisor.home import FREE_SPACE_MIN_MB, Home

OPEN_FILES_MIN = 1_024

_BINARIES: dict[str, Callable[[], Path]] = {
    "postgres": lambda: postgres_binary("postgres"),
    "initdb": lambda: postgres_binary("initdb"),
    "psql": lambda: postgres_binary("psql"),
    "valkey": valkey_binary,
    "nats": nats_binary,
    "envoy": envoy_binary,
}


def check_machine(home: Home, clock: Clock) -> Iterator[Finding]:
    """Everything that can be said without looking at the platform itself."""
    yield from _binaries()
    yield _disk(home)
    yield check_encryption(home.root)
    yield _clock(home, clock)
    yield _time_service()
    yield _open_files()
    yield _postgres_user(home)
    yield unverified(
        "terminal",
        "A real MetaTrader 5 terminal cannot be examined from the server.",
        remedy="Run `aitrading-client doctor` on the machine of the terminal.",
    )


def _binaries() -> Iterator[Finding]:
    for name, find in _BINARIES.items():
        check = f"program {name}"
        try:
            path = find()
        except AitradingError as exc:
            yield wrong(check, exc)
            continue
        if os.access(path, os.X_OK):
            yield fine(check, str(path))
        else:
            yield problem(
                check,
                f"{path} may not be executed.",
                cause="The file lost its mode, or the disk is mounted noexec.",
                remedy="Run `make setup` again, on a disk that allows programs.",
            )


def _disk(home: Home) -> Finding:
    if not home.root.exists():
        return unverified("disk", f"{home.root} does not exist yet.")
    try:
        home.check_space()
    except AitradingError as exc:
        return wrong("disk", exc)
    free_mb = shutil.disk_usage(home.root).free >> 20
    return fine("disk", f"{free_mb:,} MB free; {FREE_SPACE_MIN_MB} MB are needed.")


def _clock(home: Home, clock: Clock) -> Finding:
    try:
        home.check_clock(clock)
    except AitradingError as exc:
        return wrong("clock", exc)
    return fine("clock", "Not behind the newest time this home has seen.")


def _time_service() -> Finding:
    if clock_is_synchronised():
        return fine("time service", "The kernel says that the clock is kept right.")
    return unverified(
        "time service",
        "The kernel does not know of a time service that keeps the clock right.",
        remedy="Install chrony or enable systemd-timesyncd, unless the host does it for you.",
    )


def _open_files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= OPEN_FILES_MIN or soft == resource.RLIM_INFINITY:
        return fine("open files", f"A process may open {soft:,}.")
    return problem(
        "open files",
        f"A process may open only {soft} files; {OPEN_FILES_MIN} are needed.",
        cause="The limit of this session is low; each connection is an open file.",
        remedy=f"Raise it: `ulimit -n {OPEN_FILES_MIN}`, or in the service manager.",
    )


def _postgres_user(home: Home) -> Finding:
    """Whether PostgreSQL, which refuses root, would reach its files."""
    if os.geteuid() != 0:
        return fine("postgres user", "PostgreSQL runs as you.")
    if not home.root.exists():
        return unverified("postgres user", f"{home.root} does not exist yet.")
    try:
        confinement = confinement_for(
            (postgres_install(), home.root), data=home.postgres / "18" / "data"
        )
    except AitradingError as exc:
        return wrong("postgres user", exc)
    name = confinement.user.name if confinement else "you"
    return fine("postgres user", f"PostgreSQL runs as {name}.")
