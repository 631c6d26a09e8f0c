"""TCP ports: chosen, checked before anything starts, and their holder named when taken."""

import errno
import os
import random
import socket
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from aitrading.server.supervisor.errors import PORT_TAKEN

FREE_PORTS = range(20_000, 32_000)
"""Where free ports are looked for: below those that kernels give to outgoing connections, one of
which could hold the port of a child that is just being started again."""
CLAIMS = 128
"""How many of the ports it was given last a process keeps others from being given."""
_TRIES = 50
_DRAW = random.SystemRandom()
_claims: deque[tuple[int, int]] = deque()
"""Ports and the sockets that claim them."""
_LISTEN = "0A"
_REFUSALS = {
    errno.EADDRINUSE: "",
    errno.EACCES: "the system: a port below 1024 needs rights",
    errno.EADDRNOTAVAIL: "nobody, but this machine does not have the address",
}


@dataclass(frozen=True, kw_only=True)
class PortRequest:
    """One port somebody wants; 0 asks for a free one."""

    setting: str
    purpose: str
    host: str
    port: int


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has and no other process of this machine is given while this one lives.

    Between choosing and listening, and while its holder is started again, a port is free to the
    kernel: an abstract Unix socket says to the others that it is not.
    """
    for port in _DRAW.sample(FREE_PORTS, k=_TRIES):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0aitrading-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as exc:
            claim.close()
            if exc.errno not in _REFUSALS:
                raise
            continue
        if len(_claims) == CLAIMS:
            give_back(_claims[0][0])
        _claims.append((port, claim.detach()))
        return port
    raise PORT_TAKEN.error(
        taken=f"{_TRIES} ports from {FREE_PORTS.start} to {FREE_PORTS.stop} were tried",
        choice="",
    )


def give_back(port: int) -> None:
    """Let a port be given to others again."""
    for claim in [one for one in _claims if one[0] == port]:
        _claims.remove(claim)
        os.close(claim[1])


def resolve_ports(requests: Iterable[PortRequest]) -> dict[str, int]:
    """Ports by purpose, no free one chosen twice; raises PORT_TAKEN naming who has which."""
    chosen: dict[str, int] = {}
    taken: dict[str, str] = {}
    with ExitStack() as held:
        for request in requests:
            found = _resolve(request, held)
            if isinstance(found, int):
                chosen[request.purpose] = found
            else:
                taken[request.setting] = found
    if taken:
        choice = " ".join(f"--set {setting}=0" for setting in taken)
        raise PORT_TAKEN.error(taken=";\n".join(taken.values()), choice=choice)
    return chosen


def _resolve(request: PortRequest, held: ExitStack) -> int | str:
    """Bind the port, so that nobody gets it while the others are chosen; or say who has it."""
    if request.port == 0:
        return free_port(request.host)
    probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((request.host, request.port))
    except OSError as exc:
        if exc.errno not in _REFUSALS:
            raise
        holder = _REFUSALS[exc.errno] or holder_of(request.port)
    else:
        return request.port
    return f"Port {request.port} for {request.purpose} (setting {request.setting}) is taken by {holder}"


def holder_of(port: int) -> str:
    """Name the process that listens on a port, as far as this user may see it."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _holds(process, inodes):
            name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
            return f"process {process.name} ({name})"
    return "a process of another user"


def _listening_inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def _holds(process: Path, inodes: set[str]) -> bool:
    try:
        return any(os.readlink(entry) in inodes for entry in (process / "fd").iterdir())  # noqa: PTH115 - not a path
    except OSError:
        return False
