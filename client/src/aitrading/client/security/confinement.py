"""What the client and its workers give up on Linux: files that are not theirs, network, signals.

Who takes over the client changes nothing outside its home, its own program included; who takes
over a worker reads none of its user's files, reaches nobody over TCP and ends no other process. No
call tells whether Landlock holds, so each measure is read back by trying what it forbids.
"""

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final

from aitrading.client.security.landlock import (
    CHANGING,
    FILES_SINCE,
    LOOKING,
    NETWORK_SINCE,
    SIGNALS_SINCE,
    Files,
    Network,
    Scope,
    bar,
    require,
)
from aitrading.client.security.measures import Measure, Standing, UnreadableError
from aitrading.core.infrastructure.config_manager import Setting

NAMES: Final = ("writes-confined", "reads-confined", "network-confined", "signals-confined")
SWITCHED_OFF: Final = "switched off by the setting confinement.enabled"
EVERYONE_WRITES: Final = Path("/dev/full")
"""A device that every user may open for writing and that is outside of what the client needs."""
EVERYONE_LISTS: Final = Path("/")
NOWHERE: Final = ("127.0.0.1", 0)
SYSTEM_FOLDERS: Final = ("/usr", "/lib", "/lib64", "/etc", "/proc/self", "/dev/urandom")
_DISCARDED: Final = Path("/dev/null")


@dataclass(frozen=True, kw_only=True)
class ConfinementSettings:
    """How far the client's processes are shut in, on Linux."""

    SECTION: ClassVar[str] = "confinement"

    enabled: Annotated[
        bool,
        Setting(
            doc="Let the client change files in its home alone, and its workers read nothing but the "
            "program and reach nobody (Linux with Landlock). Switch it off only to find out whether it "
            "is in the way; health says so."
        ),
    ] = True


@dataclass(frozen=True, kw_only=True)
class WorkerNeeds:
    """What a worker cannot do without."""

    files: tuple[Path, ...] = ()
    """Read, with what is beneath."""
    network: str = ""
    """Why it needs TCP; empty when it does not."""
    all: str = ""
    """Why it cannot be confined at all; empty when it can."""


def client_confinement(home: Path, *, why_not: str = "") -> tuple[Measure, ...]:
    """What the client gives up; its workers inherit it."""

    def confine() -> None:
        bar(files=CHANGING, allowed={home: CHANGING, _DISCARDED: CHANGING})

    return (
        Measure(
            name="writes-confined",
            against="a client that was taken over and changes its program or its user's files",
            read=_trying(FILES_SINCE, _writes), is_on=_is_barred,
            apply=None if why_not else confine, cannot=why_not,
        ),
    )  # fmt: skip


def worker_confinement(needs: WorkerNeeds) -> tuple[Measure, ...]:
    """What a worker gives up besides."""
    no_network = needs.all or needs.network
    return (
        Measure(
            name="reads-confined", against="a worker that was taken over and reads its user's files",
            read=_trying(FILES_SINCE, _lists), is_on=_is_barred,
            apply=None if needs.all else lambda: _confine_reads(needs.files), cannot=needs.all,
        ),
        Measure(
            name="network-confined", against="a worker that was taken over and tells others",
            read=_trying(NETWORK_SINCE, _reaches), is_on=_is_barred,
            apply=None if no_network else lambda: bar(network=Network.LISTEN | Network.CONNECT),
            cannot=no_network,
        ),
        Measure(
            name="signals-confined", against="a worker that was taken over and ends other programs",
            read=_trying(SIGNALS_SINCE, _signals), is_on=_is_barred,
            apply=None if needs.all else lambda: bar(scope=Scope.SIGNALS | Scope.ABSTRACT_SOCKETS),
            cannot=needs.all,
        ),
    )  # fmt: skip


def _confine_reads(files: tuple[Path, ...]) -> None:
    """Nothing is written, and nothing read but the system's programs, its own, and what it needs."""
    bar(files=CHANGING | LOOKING, allowed={**_program(), **dict.fromkeys(files, LOOKING),
                                           _DISCARDED: Files.READ | Files.WRITE})  # fmt: skip


def _program() -> Mapping[Path, Files]:
    own = (sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path)
    return {Path(each): LOOKING for each in (*SYSTEM_FOLDERS, *own) if each}


def is_unconfined(standing: Standing) -> bool:
    """A measure of this module that does not hold; its reason belongs into health."""
    return standing.name in NAMES and not standing.holds


def _is_barred(opened: int) -> bool:
    return opened == 0


def _trying(version: int, attempt: Callable[[], None]) -> Callable[[], int]:
    """1 while the attempt gets through, 0 when it is forbidden."""

    def read() -> int:
        require(version)
        try:
            attempt()
        except PermissionError:
            return 0
        except OSError as exc:
            raise UnreadableError(f"the trial failed: {exc}") from exc
        return 1

    return read


def _require_open_to_all(path: Path, mode: int) -> None:
    """Permissions of files would be taken for Landlock, which this question does not see."""
    if not os.access(path, mode):
        raise UnreadableError(f"{path} is closed to this user anyway, so a trial shows nothing")


def _writes() -> None:
    _require_open_to_all(EVERYONE_WRITES, os.W_OK)
    os.close(os.open(EVERYONE_WRITES, os.O_WRONLY | os.O_CLOEXEC))


def _lists() -> None:
    _require_open_to_all(EVERYONE_LISTS, os.R_OK)
    os.close(os.open(EVERYONE_LISTS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def _reaches() -> None:
    """Nobody listens at port 0, so being turned away there means having got through."""
    with socket.socket() as trial:
        try:
            trial.connect(NOWHERE)
        except PermissionError:
            raise
        except OSError:
            return


def _signals() -> None:
    parent = os.getppid()
    if not parent:
        raise UnreadableError(
            "its parent is in another container, so there is nobody to try it on"
        )
    os.kill(parent, 0)
