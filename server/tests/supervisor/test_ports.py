"""Free ports are such that no outgoing connection takes them while their holder is away."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.server.supervisor import ports
from aitrading.server.supervisor.ports import (
    FREE_PORTS,
    PortRequest,
    free_port,
    give_back,
    resolve_ports,
)


def asked(purpose: str, port: int = 0) -> PortRequest:
    return PortRequest(setting=f"ports.{purpose}", purpose=purpose, host="127.0.0.1", port=port)


def test_a_free_port_lies_below_those_of_outgoing_connections() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    assert max(FREE_PORTS) < lowest or lowest < min(FREE_PORTS)
    chosen = resolve_ports(asked(name) for name in "abcdef")
    assert len(set(chosen.values())) == 6
    assert set(chosen.values()) <= set(FREE_PORTS)


def test_a_port_that_somebody_has_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        free = free_port()
        give_back(free)
        monkeypatch.setattr(ports._DRAW, "sample", lambda *_args, **_kw: [port, free])
        assert resolve_ports([asked("a")]) == {"a": free}
        with pytest.raises(AitradingError, match="PORT_TAKEN"):
            resolve_ports([asked("a", port)])


def test_no_port_of_a_test_is_given_twice() -> None:
    assert len({free_port() for _ in range(50)}) == 50


def test_a_port_that_is_chosen_and_not_bound_yet_is_not_given_to_another_process() -> None:
    """Two platforms that start at once, or one whose child is being started again."""
    port = free_port()
    ask = (
        "from aitrading.server.supervisor import ports;"
        f"ports._DRAW.sample = lambda *_a, **_k: [{port}, {port + 1}, {port + 2}];"
        "print(ports.resolve_ports([ports.PortRequest(setting='', purpose='a', host='127.0.0.1', port=0)])['a'])"
    )
    other = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert int(other.stdout) != port
