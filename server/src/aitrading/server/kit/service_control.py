"""What a service hears from outside: the supervisor's pipe and signals."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from typing_extensions import override

GO: Final = b"go\n"
MAX_MESSAGE_BYTES: Final = 64


class ServiceControl:
    """Waits for `go` and for the order to stop; `async with` it inside the event loop.

    The supervisor holds the other end of the pipe: it writes `go` when the dependencies of this
    service work, and the end of the pipe means that it died. Without a pipe (started by hand) the
    service goes at once. SIGTERM and SIGINT stop; SIGHUP is ignored until `on_reload`.
    """

    def __init__(self, control_fd: int | None) -> None:
        self._control_fd = control_fd
        self._reload: Callable[[], None] = _nothing
        self._go = asyncio.Event()
        self._stop = asyncio.Event()
        self._stack = AsyncExitStack()
        self.reason = ""

    async def wait_go(self) -> None:
        """Return when the dependencies work."""
        await self._go.wait()

    async def wait_stop(self) -> None:
        """Return when somebody wants this process to end; `reason` says who."""
        await self._stop.wait()

    def on_reload(self, callback: Callable[[], None]) -> None:
        """Call at every SIGHUP from now on."""
        self._reload = callback

    def stop(self, reason: str) -> None:
        """Order the stop; the first reason counts."""
        if not self._stop.is_set():
            self.reason = reason
            self._stop.set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, signal.Signals(number).name)
            self._stack.callback(loop.remove_signal_handler, number)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        self._stack.callback(loop.remove_signal_handler, signal.SIGHUP)
        if self._control_fd is None:
            self._go.set()
        else:
            await self._listen(self._control_fd)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def _hang_up(self) -> None:
        self._reload()

    async def _listen(self, control_fd: int) -> None:
        os.set_inheritable(control_fd, False)
        pipe = os.fdopen(control_fd, "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: _Listener(self._go.set, lambda: self.stop("the supervisor is gone")), pipe
        )
        self._stack.callback(transport.close)


class _Listener(asyncio.Protocol):
    def __init__(self, on_go: Callable[[], None], on_end: Callable[[], None]) -> None:
        self._on_go = on_go
        self._on_end = on_end
        self._heard = b""

    @override
    def data_received(self, data: bytes) -> None:
        self._heard = (self._heard + data)[-MAX_MESSAGE_BYTES:]
        if self._heard.endswith(GO):
            self._on_go()

    @override
    def eof_received(self) -> None:
        self._on_end()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._on_end()


def _nothing() -> None:
    """No settings are loaded that could change."""
