"""The central hub: one per process; who runs where, settings, chains, errors, tenant context.

Services register under a lease that the hub renews, and find each other by name in a local view
that follows the store. When the store is lost the view is frozen: `discover` goes on answering
with the last known services, `state` is DEGRADED and `stale_since_ns` says since when. Nothing
here ever stops a caller because a store is down.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.error_codes import (
    HUB_ALREADY_EXISTS,
    HUB_NOT_CREATED,
    REGISTRY_UNAVAILABLE,
)
from aitrading.core.infrastructure.error_dna import message_of, spec_of
from aitrading.core.infrastructure.error_handler import (
    CallSite,
    ErrorHandler,
    RecoveryStrategy,
)
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.resilience import Timeouts, time_limit
from aitrading.core.infrastructure.service_registry import (
    MemoryRegistryStore,
    RegistryChange,
    RegistryStore,
    ServiceRecord,
)
from aitrading.core.infrastructure.service_view import ServiceView
from aitrading.core.infrastructure.tenant_context import current_tenant, tenant_scope
from aitrading.core.kit.clock import NS_PER_S, Clock

__all__ = [
    "REGISTRY_LOST",
    "CentralHub",
    "HubSettings",
    "HubStatistics",
    "MemoryRegistryStore",
    "RegistryChange",
    "RegistryStore",
    "ServiceRecord",
    "current_tenant",
    "tenant_scope",
]

T = TypeVar("T")
ChangeListener = Callable[[RegistryChange], None]

REGISTRY_LOST: Final = CallSite(
    name="hub.registry",
    strategy=RecoveryStrategy.DEGRADE,
    service="every service",
    fault="The registry of services (NATS key-value) does not answer.",
    description=(
        "Discovery answers with the last known services, marked with the time since when they "
        "may be out of date; trading and the tick path go on."
    ),
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HubSettings:
    """How long a silent service stays listed, and how often a lost store is asked again."""

    lease_s: float = 15.0
    retry_s: float = 1.0

    @property
    def renew_s(self) -> float:
        """Two renewals may be lost before a lease ends."""
        return self.lease_s / 3


class HubStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub knows now."""

    state: ComponentState
    services: int
    own: int
    stale_since_ns: int | None
    store_losses: int


@dataclass
class _Own:
    record: ServiceRecord
    state: Callable[[], ComponentState] | None


@dataclass
class _Singleton:
    lock: threading.Lock = field(default_factory=threading.Lock)
    hub: "CentralHub | None" = None


class CentralHub:
    """The one hub of this process; safe from any thread and any event loop.

    It is a component: `start` connects to the store and returns even when that is down.
    """

    _singleton: ClassVar[_Singleton] = _Singleton()

    def __init__(
        self,
        *,
        store: RegistryStore,
        clock: Clock,
        config: ConfigManager,
        errors: ErrorHandler,
        chains: ChainRegistry,
        settings: HubSettings | None = None,
        depends_on: tuple[str, ...] = (),
    ) -> None:
        with self._singleton.lock:
            if self._singleton.hub is not None:
                raise HUB_ALREADY_EXISTS.error()
            self._singleton.hub = self
        self.name = "central-hub"
        self.critical = False
        self.config = config
        self.errors = errors
        self.chains = chains
        self.depends_on = depends_on
        self._store = store
        self._clock = clock
        self._settings = settings or HubSettings()
        self._view = ServiceView(clock, lease_limit_s=self._settings.lease_s)
        self._own: dict[str, _Own] = {}
        self._lock = threading.Lock()
        self._listeners: list[ChangeListener] = []
        self._tasks = TaskSet(self.name, on_error=self._following_failed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._phase = ComponentState.NEW
        self._losses = 0
        errors.declare(REGISTRY_LOST)

    @classmethod
    def instance(cls) -> "CentralHub":
        """The hub of this process; raises `HUB_NOT_CREATED` before there is one."""
        hub = cls._singleton.hub
        if hub is None:
            raise HUB_NOT_CREATED.error()
        return hub

    @classmethod
    def reset_for_tests(cls) -> None:
        """Forget the hub, so that the next test can make its own."""
        with cls._singleton.lock:
            cls._singleton.hub = None

    @property
    def state(self) -> ComponentState:
        """DEGRADED while the store is lost, and for a minute after following it failed."""
        if self._phase is ComponentState.HEALTHY and self._view.stale_since_ns is not None:
            return ComponentState.DEGRADED
        return self._tasks.judged(self._phase)

    @property
    def stale_since_ns(self) -> int | None:
        """Wall time since when discovery answers from memory alone; None while it is fresh."""
        return self._view.stale_since_ns

    async def start(self) -> None:
        """Follow the store from now on; a store that is down is asked again for ever."""
        self._phase = ComponentState.STARTING
        self._loop = asyncio.get_running_loop()
        await self._synchronise_or_degrade()
        self._tasks.keep(self._follow, name="follow", clock=self._clock)
        self._phase = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Take our own services out of the registry and let go of the store."""
        if self._phase in {ComponentState.NEW, ComponentState.STOPPED}:
            self._phase = ComponentState.STOPPED
            return
        self._phase = ComponentState.STOPPING
        await self._tasks.close()
        for key in self._own_records():
            await self._try(self._store.delete(key), "remove a service")
        self._loop = None
        self._phase = ComponentState.STOPPED

    async def register(
        self, record: ServiceRecord, *, state: Callable[[], ComponentState] | None = None
    ) -> None:
        """Announce a service of this process and renew its lease until `deregister` or `stop`.

        With `state`, each renewal tells the state at that time. Repeating replaces the record.
        """
        with self._lock:
            self._own[record.key] = _Own(record, state)
        await self._in_own_loop(self._announce)

    async def deregister(self, name: str, instance: str) -> None:
        """Take a service of this process out of the registry at once."""
        with self._lock:
            own = self._own.pop(f"{name}.{instance}", None)
        if own is None:
            return
        self._apply(RegistryChange(key=own.record.key, record=None))
        await self._in_own_loop(
            lambda: self._try(self._store.delete(own.record.key), "remove a service")
        )

    def discover(self, name: str) -> list[ServiceRecord]:
        """All instances whose lease runs; while the store is lost, the last known ones."""
        return self._view.find(name)

    def services(self) -> list[ServiceRecord]:
        """Every known service, by name and instance."""
        return self._view.all()

    def subscribe(self, listener: ChangeListener) -> Callable[[], None]:
        """Call with each change of the view (not with renewals); the result unsubscribes.

        Listeners run in the hub's event loop or in the registering thread and must be quick.
        """
        with self._lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    def statistics(self) -> HubStatistics:
        """Numbers for health and metrics."""
        return HubStatistics(
            state=self.state,
            services=len(self._view.all()),
            own=len(self._own),
            stale_since_ns=self.stale_since_ns,
            store_losses=self._losses,
        )

    async def _follow(self) -> None:
        while True:
            if self._view.stale_since_ns is None:
                await self._session()
                await self._synchronise_or_degrade()
            await self._clock.sleep(self._settings.retry_s)
            await self._synchronise_or_degrade()

    async def _synchronise_or_degrade(self) -> bool:
        return await self.errors.degrade(REGISTRY_LOST, self._synchronise, self._keep_last_known)

    async def _synchronise(self) -> bool:
        try:
            async with time_limit(Timeouts.FAST, what="the service registry"):
                await self._put_own()
                records = await self._store.list()
        except Exception as exc:
            if spec_of(exc) is REGISTRY_UNAVAILABLE:
                raise
            raise REGISTRY_UNAVAILABLE.error(reason=message_of(exc)) from exc
        if self._view.stale_since_ns is not None:
            _log.info("the service registry answers again: %d services", len(records))
        for change in self._view.replace([*records, *self._own_records().values()]):
            self._tell(change)
        return True

    async def _keep_last_known(self, exc: Exception) -> bool:
        if self._view.stale_since_ns is None:
            self._losses += 1
            self._view.freeze()
            _log.warning("discovery answers with the last known services: %s", message_of(exc))
        return False

    async def _session(self) -> None:
        """Watch and renew until the store fails; why it failed is found by asking again."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                group.create_task(self._renew())
        except* Exception as failures:  # noqa: BLE001 - whatever it was, the store is asked again
            _log.debug("the registry session ended: %s", failures.exceptions)

    def _following_failed(self, _task: str, exc: Exception) -> None:
        self.errors.classify(exc)
        self._view.freeze()

    async def _watch(self) -> None:
        async for change in self._store.watch():
            self._apply(change)
        raise REGISTRY_UNAVAILABLE.error(reason="it stopped telling changes")

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._settings.renew_s)
            async with time_limit(Timeouts.FAST, what="the service registry"):
                await self._put_own()
            for change in self._view.sweep():
                self._tell(change)

    async def _announce(self) -> None:
        if self._loop is None or self._view.stale_since_ns is not None:
            for record in self._own_records().values():
                self._apply(RegistryChange(key=record.key, record=record))
            return
        await self._try(self._put_own(), "announce a service")

    async def _put_own(self) -> None:
        for record in self._own_records().values():
            self._apply(RegistryChange(key=record.key, record=record))
            await self._store.put(record)

    def _own_records(self) -> dict[str, ServiceRecord]:
        lease_until_ns = self._clock.now_ns() + round(self._settings.lease_s * NS_PER_S)
        with self._lock:
            return {
                key: msgspec.structs.replace(
                    own.record,
                    lease_until_ns=lease_until_ns,
                    state=own.state() if own.state else own.record.state,
                )
                for key, own in self._own.items()
            }

    async def _in_own_loop(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        loop = self._loop
        if loop is None or loop is asyncio.get_running_loop():
            await work()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))

    async def _try(self, work: Coroutine[Any, Any, None], what: str) -> None:
        try:
            async with time_limit(Timeouts.FAST, what="the service registry"):
                await work
        except Exception as exc:  # noqa: BLE001 - a lost store never stops a caller
            self.errors.classify(exc)
            _log.warning("could not %s: %s", what, message_of(exc))

    def _apply(self, change: RegistryChange) -> None:
        told = self._view.apply(change)
        if told is not None:
            self._tell(told)

    def _tell(self, change: RegistryChange) -> None:
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            try:
                listener(change)
            except Exception as exc:  # noqa: BLE001 - the other listeners must hear of it too
                self.errors.classify(exc)
