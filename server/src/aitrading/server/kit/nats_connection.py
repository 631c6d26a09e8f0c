"""One connection to NATS over mutual TLS that comes back by itself.

The client library's own reconnecting is off: `ErrorHandler.reconnect` does it, so that every
attempt is counted, classified and visible, certificates are read anew, and whatever lives on the
connection (subscriptions, streams) is set up again by its owner before anybody may publish.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError

from aitrading.core.infrastructure.bus_errors import BUS_FORBIDDEN, BUS_UNAVAILABLE
from aitrading.core.infrastructure.error_handler import (
    CallSite,
    ErrorHandler,
    RecoveryStrategy,
)
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.resilience import RetryPolicy
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.bundle import NatsAccess, TlsFiles
from aitrading.server.kit.cancellation import cancellation_kept
from aitrading.server.kit.mtls import client_context
from aitrading.server.policy import inbox_of

CONNECT_TIMEOUT_S: Final = 2
PING_INTERVAL_S: Final = 5
MAX_MISSED_PINGS: Final = 2
CLOSE_TIMEOUT_S: Final = 2.0

NATS_ERRORS: Final = (NatsError, OSError, TimeoutError)
"""What the client library raises; nothing of it leaves the adapters."""

BUS_RECONNECT: Final = CallSite(
    name="bus.reconnect",
    strategy=RecoveryStrategy.RECONNECT,
    service="every service",
    fault="NATS is gone or restarts",
    description="The connection is made again and every subscription with it; meanwhile "
    "publishing fails at once and durable events wait at the server.",
)
RECONNECT_POLICY: Final = RetryPolicy(
    first_s=0.25, max_s=5.0, attempts=None, retryable=lambda exc: isinstance(exc, Exception)
)
"""Shorter than usual: few clients, one host, and everything waits for it."""

Hook = Callable[[Client], Awaitable[None]]


class NatsConnection:
    """Connects, and connects again after every loss until stopped.

    Hooks run on each new connection in the order of `on_connected`; it counts as connected when
    all of them succeeded.
    """

    def __init__(
        self,
        access: NatsAccess,
        tls: TlsFiles,
        *,
        clock: Clock,
        errors: ErrorHandler,
        name: str = "nats",
        policy: RetryPolicy = RECONNECT_POLICY,
    ) -> None:
        self.name = name
        self.reconnects = 0
        self.connected_since_ns: int | None = None
        self._access = access
        self._tls = tls
        self._clock = clock
        self._errors = errors
        self._policy = policy
        self._client: Client | None = None
        self._lost = asyncio.Event()
        self._problem: Exception | None = None
        self._hooks: list[Hook] = []
        self._on_lost: list[Callable[[], None]] = []
        self._tasks = TaskSet(name)
        self._state = ComponentState.NEW
        errors.declare(BUS_RECONNECT)

    @property
    def state(self) -> ComponentState:
        """DEGRADED from the loss of the connection until its return."""
        return self._state

    @property
    def client(self) -> Client:
        """The live connection; raises BUS_UNAVAILABLE while there is none."""
        if self._client is None or not self._client.is_connected:
            raise BUS_UNAVAILABLE.error(problem=f"the connection is {self._state}")
        return self._client

    @property
    def is_connected(self) -> bool:
        """Whether `client` would give one."""
        return self._client is not None and self._client.is_connected

    def on_connected(self, hook: Hook) -> None:
        """Run on every connection from the next one on."""
        self._hooks.append(hook)

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call at every loss; the callback must not raise."""
        self._on_lost.append(callback)

    async def start(self) -> None:
        """Connect; tries until it succeeds or the start is cancelled."""
        self._state = ComponentState.STARTING
        try:
            await self._connect()
        except AitradingError as exc:
            self._errors.classify(exc)
            await self._errors.reconnect(BUS_RECONNECT, self._connect, self._policy)
        self._tasks.start(self._keep_connected(), name="reconnect")

    async def stop(self) -> None:
        """Flush what is buffered and close."""
        self._state = ComponentState.STOPPING
        await self._tasks.close()
        client, self._client = self._client, None
        if client is not None:
            await _close(client)
        self._state = ComponentState.STOPPED

    async def _keep_connected(self) -> None:
        while True:
            await self._lost.wait()
            self._lost.clear()
            await self._errors.reconnect(BUS_RECONNECT, self._connect, self._policy)
            self.reconnects += 1

    async def _connect(self) -> None:
        _insist_on_cancellation()
        client = Client()
        self._problem = None
        try:
            await self._open(client)
            for hook in self._hooks:
                await hook(client)
        except BaseException as exc:
            await _close(client)
            if isinstance(exc, NATS_ERRORS):
                raise unavailable(self._problem or exc) from exc
            raise
        self._client = client
        self._lost.clear()
        if not client.is_connected:
            raise BUS_UNAVAILABLE.error(problem="it was lost while subscribing")
        self.connected_since_ns = self._clock.now_ns()
        self._state = ComponentState.HEALTHY

    async def _open(self, client: Client) -> None:
        async def closed() -> None:
            if client is self._client:
                self._on_loss()

        await client.connect(
            self._access.url,
            name=self.name,
            user=self._access.user,
            password=self._access.password,
            inbox_prefix=inbox_of(self._access.user).encode(),
            tls=client_context(self._tls),
            tls_hostname=urlsplit(self._access.url).hostname,
            allow_reconnect=False,
            connect_timeout=CONNECT_TIMEOUT_S,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            ping_interval=PING_INTERVAL_S,
            max_outstanding_pings=MAX_MISSED_PINGS,
            error_cb=self._on_error,
            closed_cb=closed,
        )

    def _on_loss(self) -> None:
        if self._state is not ComponentState.HEALTHY:
            return
        self._state = ComponentState.DEGRADED
        self.connected_since_ns = None
        self._lost.set()
        for callback in self._on_lost:
            callback()

    async def _on_error(self, exc: Exception) -> None:
        """Note why an attempt fails, and report what goes wrong on a live connection."""
        self._problem = exc
        if self._state is ComponentState.HEALTHY:
            self._errors.classify(unavailable(exc))


async def until_known(client: Client) -> None:
    """Return when the server knows of every subscription made so far.

    The library writes the PING of a flush at once and what waits, a SUB among it, a moment later.
    The answer to the first says nothing of the subscription; that to the second comes after it.
    """
    with cancellation_kept():
        await client.flush()
        await client.flush()


def unavailable(exc: BaseException) -> AitradingError:
    """Map an error of the library to ours, with the library's own words."""
    text = str(exc) or type(exc).__name__
    if "permissions violation" in text.lower():
        return BUS_FORBIDDEN.error(problem=text.removeprefix("nats: "))
    return BUS_UNAVAILABLE.error(problem=text.removeprefix("nats: "))


def _insist_on_cancellation() -> None:
    """End a cancelled task for good.

    The library connects with `asyncio.wait_for`, which on Python 3.11 loses a cancellation that
    arrives together with the awaited result.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _close(client: Client) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await client.close()
    except NATS_ERRORS:
        return
