"""Runs one twin for whoever has its token: calls one at a time, control at any time.

Several may be connected, as several programs are to one terminal: a call that waits keeps only its
own connection waiting, and who disconnects leaves the others connected.
"""

import hmac
import secrets
import socket
import socketserver
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from typing_extensions import override

from aitrading.client.terminal.sim.faults import TICK_FAULTS, FaultKind, FaultRule, Gate
from aitrading.client.terminal.sim.module import FUNCTIONS
from aitrading.client.terminal.sim.terminal import SimulatedTerminal
from aitrading.client.terminal.wire import receive, send
from aitrading.core.infrastructure.files import write_atomically

LOOPBACK: Final = "127.0.0.1"
TOKEN_BYTES: Final = 32


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a twin listens and what it wants to hear first."""

    port: int
    token: str


class _Talk:
    """One connection, and since which start of the terminal it is initialized."""

    epoch: int | None = None


class _SharedGate(Gate):
    """Lets the others have the terminal while one call waits."""

    def __init__(self, gate: Gate, lend: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self._gate = gate
        self._lend = lend

    @override
    def wait(self, seconds: float | None) -> None:
        with self._lend():
            self._gate.wait(seconds)

    @override
    def release(self) -> None:
        self._gate.release()


class TwinServer:
    """A twin behind a loopback port. Control reaches it while a call is wedged."""

    def __init__(self, terminal: SimulatedTerminal, address_file: Path) -> None:
        self.terminal = terminal
        self._calling = threading.Lock()
        self._epoch = 0
        faults = terminal.world.faults
        faults.gate = _SharedGate(faults.gate, self._lent)
        self._token = secrets.token_hex(TOKEN_BYTES)
        self._server = _Listener((LOOPBACK, 0), _handler(self._converse))
        port = int(self._server.server_address[1])
        self.address = Address(port=port, token=self._token)
        write_atomically(address_file, msgspec.json.encode(self.address))
        self._control: Mapping[str, Callable[..., object]] = {
            "inject": self._inject,
            "lift": self._lift,
            "release": terminal.world.faults.gate.release,
            "step_clock": terminal.world.clock.step,
            "set_running": self._set_running,
            "inspect": self._inspect,
        }

    def serve(self) -> None:
        """Answer until `close`."""
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop listening; wedged calls are let go."""
        self.terminal.world.faults.gate.release()
        self._server.shutdown()
        self._server.server_close()

    def _converse(self, connection: socket.socket) -> None:
        if not self._is_token(receive(connection)):
            return
        send(connection, True)
        talk = _Talk()
        while True:
            name, args, kwargs = receive(connection)
            send(connection, self._answer(talk, str(name), tuple(args), kwargs))

    def _is_token(self, said: object) -> bool:
        return isinstance(said, str) and hmac.compare_digest(said.encode(), self._token.encode())

    def _answer(
        self, talk: _Talk, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[object]:
        """The answer, what `last_error` says then, and the text of a refusal by the language."""
        control = self._control.get(name)
        if control is None and name not in FUNCTIONS:
            return [None, None, f"{name} is no function of a terminal"]
        try:
            if control is not None:
                return [control(*args, **kwargs), None, None]
            with self._calling, self._connected_as(talk, name):
                answer = getattr(self.terminal, name)(*args, **kwargs)
                return [answer, self.terminal.last_error(), None]
        except (TypeError, ValueError, msgspec.MsgspecError) as exc:
            return [None, None, str(exc)]

    @contextmanager
    def _connected_as(self, talk: _Talk, name: str) -> Generator[None]:
        """The terminal knows one connection; let it be this one for the time of a call."""
        session = self.terminal.world.session
        session.is_connected = talk.epoch == self._epoch
        yield
        if session.is_connected:
            talk.epoch = self._epoch
        elif talk.epoch == self._epoch:
            talk.epoch = None
            self._epoch += name != "shutdown"  # the terminal was gone, for everybody

    @contextmanager
    def _lent(self) -> Generator[None]:
        """Give the terminal to the other connections for a while."""
        session = self.terminal.world.session
        was_connected, epoch = session.is_connected, self._epoch
        self._calling.release()
        try:
            yield
        finally:
            self._calling.acquire()
            session.is_connected = was_connected and epoch == self._epoch

    def _inject(self, rule: Mapping[str, object]) -> None:
        read = msgspec.convert(dict(rule), FaultRule)
        if read.kind in TICK_FAULTS:
            raise ValueError(
                f"{read.kind} is in the market from its beginning: start the twin with a script of faults"
            )
        self.terminal.world.faults.add(read)

    def _lift(self, kind: str) -> None:
        self.terminal.world.faults.lift(FaultKind(kind))

    def _set_running(self, wanted: bool) -> None:
        self.terminal.world.is_running = bool(wanted)

    def _inspect(self) -> dict[str, object]:
        world = self.terminal.world
        return {
            "now_us": world.clock.now_us(),
            "calls": world.faults.calls,
            "is_running": world.is_running,
            "is_connected": world.session.is_connected,
            "happened": [[one.call_number, one.call, one.kind.value] for one in
                         list(world.faults.happened)],
        }  # fmt: skip


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _handler(converse: Callable[[socket.socket], None]) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.BaseRequestHandler):
        @override
        def handle(self) -> None:
            try:
                converse(self.request)
            except OSError:
                return  # who asked has gone, or spoke something else

    return Handler
