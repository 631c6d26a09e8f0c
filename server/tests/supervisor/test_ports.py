"""Free ports are such that no outgoing connection takes them while their holder is away."""

import socket
from pathlib import Path

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.server.supervisor import ports
from aitrading.server.supervisor.ports import FREE_PORTS, PortRequest, resolve_ports
from aitrading.server.testing.engines import free_port


def asked(purpose: str, port: int = 0) -> PortRequest:
    return PortRequest(setting=f"ports.{purpose}", purpose=purpose, host="127.0.0.1", port=port)


def test_a_free_port_lies_below_those_of_outgoing_connections() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    assert max(FREE_PORTS) < lowest or lowest < min(FREE_PORTS)
    chosen = resolve_ports(asked(name) for name in "abcdef")
    assert len(set(chosen.values())) == 6
    assert set(chosen.values()) <= set(FREE_PORTS)


def test_a_port_that_somebody_has_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    port, free = free_port(), free_port()
    with socket.create_server(("127.0.0.1", port)):
        monkeypatch.setattr(ports._DRAW, "sample", lambda *_args, **_kw: [port, free])
        assert resolve_ports([asked("a")]) == {"a": free}
        with pytest.raises(AitradingError, match="PORT_TAKEN"):
            resolve_ports([asked("a", port)])


def test_no_port_of_a_test_is_given_twice() -> None:
    assert len({free_port() for _ in range(50)}) == 50
