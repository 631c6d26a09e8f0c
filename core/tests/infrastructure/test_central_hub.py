"""The hub: one per process, who runs where, and what happens when the registry is lost."""

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, ClassVar
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from typing_extensions import override

from aitrading.core.infrastructure.central_hub import (
    REGISTRY_LOST,
    CentralHub,
    MemoryRegistryStore,
    RegistryChange,
    ServiceRecord,
    current_tenant,
    tenant_scope,
)
from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.chains import ALL_CHAINS, BRIDGE_SPOOL, MARKET_DATA
from aitrading.core.infrastructure.config_manager import ConfigManager, Setting
from aitrading.core.infrastructure.error_codes import HUB_NOT_CREATED, REGISTRY_UNAVAILABLE
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import AILING_S, ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.service_registry import RegistryStore
from aitrading.core.infrastructure.service_view import ServiceView
from aitrading.core.infrastructure.tenant_context import current_error_context
from aitrading.core.kit.clock import NS_PER_S, Clock, SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.logging.optimized_log_router import configure_logging
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock, settle
from aitrading.core.testing.seeded import SeededRandomness

LEASE_S = 15


@dataclass(frozen=True, kw_only=True)
class SomeSettings:
    SECTION: ClassVar[str] = "some"

    value: Annotated[int, Setting(doc="A number.")] = 3


class FragileStore(MemoryRegistryStore):
    """The memory store with a switch that cuts it off, as NATS can be."""

    lost = False

    def lose(self) -> None:
        self.lost = True
        self._tell(RegistryChange(key="wakes every watch", record=None))

    def regain(self) -> None:
        self.lost = False

    @override
    async def put(self, record: ServiceRecord) -> None:
        self._require()
        await super().put(record)

    @override
    async def list(self) -> list[ServiceRecord]:
        self._require()
        return await super().list()

    @override
    async def delete(self, key: str) -> None:
        self._require()
        await super().delete(key)

    @override
    async def watch(self) -> AsyncIterator[RegistryChange]:
        self._require()
        async with aclosing(super().watch()) as changes:
            async for change in changes:
                self._require()
                yield change

    def _require(self) -> None:
        if self.lost:
            raise REGISTRY_UNAVAILABLE.error(reason="cut off")


@pytest.fixture(autouse=True)
def no_hub() -> Iterator[None]:
    CentralHub.reset_for_tests()
    yield
    CentralHub.reset_for_tests()


def make_hub(
    store: RegistryStore | None = None, clock: Clock | None = None, *, another: bool = False
) -> CentralHub:
    if another:  # a hub of another process, as far as this one can have it
        CentralHub.reset_for_tests()
    clock = clock or ManualClock()
    errors = ErrorHandler(
        clock=clock,
        randomness=SeededRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
        context=current_error_context,
    )
    return CentralHub(
        store=store or MemoryRegistryStore(),
        clock=clock,
        config=ConfigManager.load([SomeSettings]),
        errors=errors,
        chains=ChainRegistry(clock=clock, service="test", instance="1"),
    )


@asynccontextmanager
async def running(hub: CentralHub) -> AsyncIterator[CentralHub]:
    await hub.start()
    await settle()  # its background work sleeps on the clock before a test moves it
    try:
        yield hub
    finally:
        await hub.stop()


def record(
    name: str = "bridge",
    instance: str = "1",
    *,
    state: ComponentState = ComponentState.HEALTHY,
    lease_until_ns: int = 0,
) -> ServiceRecord:
    return ServiceRecord(
        name=name,
        instance=instance,
        address="127.0.0.1:8001",
        version="0.1.0",
        state=state,
        lease_until_ns=lease_until_ns,
    )


def names(hub: CentralHub, service: str = "bridge") -> list[str]:
    return [found.instance for found in hub.discover(service)]


def test_inf_04_there_is_one_hub_per_process() -> None:
    with pytest.raises(AitradingError) as refused:
        CentralHub.instance()
    assert refused.value.code == "HUB_NOT_CREATED"
    hub = make_hub()
    assert CentralHub.instance() is hub
    with pytest.raises(AitradingError) as refused:
        make_hub()
    assert refused.value.code == "HUB_ALREADY_EXISTS"


def test_inf_04_of_many_threads_exactly_one_makes_the_hub() -> None:
    barrier = threading.Barrier(8)
    made: list[CentralHub] = []
    refused: list[str] = []

    def make() -> None:
        barrier.wait()
        try:
            made.append(make_hub())
        except AitradingError as exc:
            refused.append(exc.code)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert refused == ["HUB_ALREADY_EXISTS"] * 7
    assert CentralHub.instance() is made[0]


def test_inf_07_serves_typed_configuration() -> None:
    assert make_hub().config.get(SomeSettings).value == 3


@async_test
async def test_inf_06_services_register_and_are_discovered_by_others() -> None:
    store, clock = MemoryRegistryStore(), ManualClock()
    here, there = make_hub(store, clock), make_hub(store, clock, another=True)
    async with running(here), running(there):
        await here.register(record("bridge", "1"))
        await here.register(record("bridge", "2"))
        await there.register(record("engine", "1"))
        await settle()
        for hub in (here, there):
            assert names(hub) == ["1", "2"]
            assert [found.key for found in hub.services()] == ["bridge.1", "bridge.2", "engine.1"]
            assert hub.discover("nobody") == []
        await here.deregister("bridge", "1")
        await settle()
        assert names(there) == ["2"]
    assert await store.list() == []


@async_test
async def test_inf_13_the_chains_of_the_hub_track_services() -> None:
    async with running(make_hub()) as hub:
        hub.chains.define(*ALL_CHAINS)
        await hub.register(record("data-bridge"))
        hub.chains.record(MARKET_DATA, BRIDGE_SPOOL, 1_000)
        (hop,) = [hop for hop in hub.chains.health(MARKET_DATA).hops if hop.name == BRIDGE_SPOOL]
        assert hop.count == 1
        assert names(hub, hop.service) == ["1"]


@async_test
async def test_a_lease_is_renewed_while_its_hub_runs_and_ends_with_it() -> None:
    store, clock = MemoryRegistryStore(), ManualClock()
    here, there = make_hub(store, clock), make_hub(store, clock, another=True)
    async with running(there):
        await here.start()
        await here.register(record())
        await settle()
        await clock.advance(LEASE_S * 10)
        assert names(there) == ["1"]

        await here._tasks.close()  # what a killed process does: it just stops renewing
        await clock.advance(LEASE_S - 1)
        assert names(there) == ["1"]
        await clock.advance(2)
        assert names(there) == []
        await here.stop()


@async_test
async def test_a_renewal_tells_the_state_at_that_time() -> None:
    clock = ManualClock()
    state = ComponentState.STARTING
    async with running(make_hub(clock=clock)) as hub:
        await hub.register(record(), state=lambda: state)
        assert hub.discover("bridge")[0].state is ComponentState.STARTING
        state = ComponentState.DEGRADED
        await clock.advance(LEASE_S / 3)
        assert hub.discover("bridge")[0].state is ComponentState.DEGRADED


@async_test
async def test_a_corrected_wall_clock_ends_no_lease() -> None:
    store, clock = MemoryRegistryStore(), ManualClock()
    here, there = make_hub(store, clock), make_hub(store, clock, another=True)
    async with running(here), running(there):
        await here.register(record())
        await settle()
        clock.step_wall(86_400)
        assert names(there) == ["1"]
        clock.step_wall(-2 * 86_400)
        await clock.advance(LEASE_S)
        assert names(there) == ["1"]


@async_test
async def test_listeners_hear_what_is_new_changed_and_gone_but_no_renewals() -> None:
    store, clock = MemoryRegistryStore(), ManualClock()
    here, there = make_hub(store, clock), make_hub(store, clock, another=True)
    heard: list[str] = []
    async with running(there):
        there.subscribe(lambda change: heard.append(f"{change.key} {state_of(change)}"))
        async with running(here):
            await here.register(record())
            await clock.advance(LEASE_S * 3)
            await here.register(record(state=ComponentState.DEGRADED))
            await settle()
            assert heard == ["bridge.1 HEALTHY", "bridge.1 DEGRADED"]
        await settle()
        assert heard[2:] == ["bridge.1 gone"]


@async_test
async def test_listeners_hear_of_an_ended_lease() -> None:
    store, clock = MemoryRegistryStore(), ManualClock()
    heard: list[str] = []
    async with running(make_hub(store, clock)) as hub:
        hub.subscribe(lambda change: heard.append(state_of(change)))
        await store.put(record(lease_until_ns=clock.now_ns() + 6 * NS_PER_S))
        await clock.advance(10)
        assert heard == ["HEALTHY", "gone"]


@async_test
async def test_a_failing_listener_is_reported_and_others_hear() -> None:
    heard: list[str] = []

    def fail(_: RegistryChange) -> None:
        raise LookupError("broken listener")

    async with running(make_hub()) as hub:
        hub.subscribe(fail)
        forget = hub.subscribe(lambda change: heard.append(change.key))
        await hub.register(record())
        await settle()
        assert heard == ["bridge.1"]
        assert "broken listener" in hub.errors.latest()[0].message
        forget()
        await hub.register(record("engine"))
        assert heard == ["bridge.1"]


@async_test
async def test_a_lost_store_degrades_to_the_last_known_services_and_comes_back() -> None:
    store, clock = FragileStore(), ManualClock()
    here, there = make_hub(store, clock), make_hub(store, clock, another=True)
    async with running(here), running(there):
        await here.register(record())
        await settle()
        lost_ns = clock.now_ns()
        store.lose()
        await settle()
        assert there.state is ComponentState.DEGRADED
        assert there.stale_since_ns == lost_ns
        await clock.advance(LEASE_S * 20)
        assert names(there) == ["1"]
        assert there.errors.recovery_report()[REGISTRY_LOST.name].active

        await here.register(record("engine"))
        assert names(here, "engine") == ["1"]
        assert names(there, "engine") == []
        await here.deregister("bridge", "1")
        await here.register(record("bridge", "2"))

        store.regain()
        await clock.advance(2)
        assert (here.state, there.state) == (ComponentState.HEALTHY, ComponentState.HEALTHY)
        assert there.stale_since_ns is None
        assert names(there, "engine") == ["1"]
        assert "2" in names(there)
        assert not there.errors.recovery_report()[REGISTRY_LOST.name].active
        assert there.statistics().store_losses == 1
        await clock.advance(LEASE_S + 1)
        assert names(there) == ["2"]


class OddStore(MemoryRegistryStore):
    """Fails as no adapter should, or stops telling changes."""

    fault: Exception | None = None
    watches = 0

    @override
    async def list(self) -> list[ServiceRecord]:
        if self.fault is not None:
            raise self.fault
        return await super().list()

    @override
    async def watch(self) -> AsyncIterator[RegistryChange]:
        self.watches += 1
        for change in ():
            yield change


@pytest.mark.parametrize(
    "fault", [RuntimeError("odd"), HUB_NOT_CREATED.error()], ids=["foreign", "denied"]
)
@async_test
async def test_whatever_a_store_raises_is_a_lost_registry(fault: Exception) -> None:
    store, clock = OddStore(), ManualClock()
    store.fault = fault
    async with running(make_hub(store, clock)) as hub:
        await hub.register(record())
        assert hub.state is ComponentState.DEGRADED
        assert names(hub) == ["1"]
        assert hub.errors.latest()[0].code == "REGISTRY_UNAVAILABLE"


@async_test
async def test_a_store_that_stops_telling_changes_is_asked_again() -> None:
    store, clock = OddStore(), ManualClock()
    async with running(make_hub(store, clock)):
        await clock.advance(3)
        assert store.watches == 4


class OnceBrokenClock(ManualClock):
    broken = False

    @override
    async def sleep(self, seconds: float) -> None:
        if self.broken:
            self.broken = False
            raise OverflowError("no such time")
        await super().sleep(seconds)


@async_test
async def test_a_hub_that_failed_to_follow_says_so_keeps_what_it_knows_and_follows_again() -> None:
    store, clock = FragileStore(), OnceBrokenClock()
    async with running(make_hub(store, clock)) as hub:
        await hub.register(record())
        clock.broken = True
        store.lose()
        await settle()
        assert hub.state is ComponentState.DEGRADED
        assert hub.stale_since_ns is not None
        assert names(hub) == ["1"]
        store.regain()
        await clock.advance(5)
        assert hub.stale_since_ns is None
        assert hub.state is ComponentState.DEGRADED
        await clock.advance(AILING_S)
        assert hub.state is ComponentState.HEALTHY


@async_test
async def test_a_store_that_is_down_at_the_start_stops_nobody() -> None:
    store, clock = FragileStore(), ManualClock()
    store.lose()
    async with running(make_hub(store, clock)) as hub:
        assert hub.state is ComponentState.DEGRADED
        await hub.register(record())
        assert names(hub) == ["1"]
        store.regain()
        await clock.advance(2)
        assert hub.state is ComponentState.HEALTHY
        assert [kept.key for kept in await store.list()] == ["bridge.1"]
        store.lose()


@async_test
async def test_inf_08_errors_reach_the_log_with_tenant_and_code() -> None:
    stream = io.StringIO()
    clock = ManualClock()
    router = configure_logging(
        service="test", instance="1", clock=clock, stream=stream, level="INFO"
    )
    try:
        store = FragileStore()
        store.lose()
        hub = make_hub(store, clock)
        with tenant_scope(TenantId(UUID(int=5))):
            await hub.start()
        await hub.stop()
    finally:
        router.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert "REGISTRY_UNAVAILABLE" in json.dumps(lines)
    assert {line["tenant"] for line in lines} == {str(UUID(int=5))}
    assert any("last known services" in line["msg"] for line in lines)


def test_inf_05_many_threads_and_the_event_loop_share_the_hub() -> None:
    rounds, workers = 25, 8
    hub = make_hub(clock=SystemClock())
    ready, failures = threading.Event(), list[BaseException]()

    async def hammer(worker: int) -> None:
        for number in range(rounds):
            await hub.register(record(f"svc-{worker}", str(number)))
            assert str(number) in names(hub, f"svc-{worker}")
            hub.services()
            if number % 2:
                await hub.deregister(f"svc-{worker}", str(number))

    def thread(worker: int) -> None:
        ready.wait()
        try:
            asyncio.run(hammer(worker))
        except BaseException as exc:  # noqa: BLE001 - reported by the test itself
            failures.append(exc)

    async def main() -> None:
        async with running(hub):
            threads = [threading.Thread(target=thread, args=(n,)) for n in range(workers)]
            for each in threads:
                each.start()
            ready.set()
            await hammer(workers)
            for each in threads:
                await asyncio.to_thread(each.join)
            assert failures == []
            kept = {found.key for found in hub.services()}
            expected = {
                f"svc-{worker}.{number}"
                for worker in range(workers + 1)
                for number in range(0, rounds, 2)
            }
            await eventually(lambda: {found.key for found in hub.services()} == expected)
            assert kept >= expected

    asyncio.run(main())


@async_test
async def test_the_tenant_context_follows_tasks_and_ends_with_its_block() -> None:
    tenant = TenantId(UUID(int=9))

    async def look() -> TenantId | None:
        return current_tenant()

    assert current_tenant() is None
    with tenant_scope(tenant):
        async with asyncio.TaskGroup() as group:
            inner = group.create_task(look())
        with tenant_scope(None):
            assert current_tenant() is None
        assert current_tenant() == tenant
    assert inner.result() == tenant
    assert current_tenant() is None


def state_of(change: RegistryChange) -> str:
    return change.record.state.value if change.record else "gone"


class ViewMachine(RuleBasedStateMachine):
    """The view against the plainest model: a dictionary of lease ends."""

    KEYS = st.sampled_from(["1", "2", "3"])

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.view = ServiceView(self.clock, lease_limit_s=LEASE_S)
        self.model: dict[str, int] = {}

    @rule(key=KEYS, lease_s=st.integers(1, 30))
    def put(self, key: str, lease_s: int) -> None:
        until_ns = self.clock.now_ns() + lease_s * NS_PER_S
        self.view.apply(RegistryChange(key=f"bridge.{key}", record=self.made(key, until_ns)))
        self.model[key] = self.clock.monotonic_ns() + min(lease_s, LEASE_S) * NS_PER_S

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        self.view.apply(RegistryChange(key=f"bridge.{key}", record=None))
        self.model.pop(key, None)

    @rule(seconds=st.integers(0, 20))
    def wait(self, seconds: int) -> None:
        asyncio.run(self.clock.advance(seconds))

    @rule()
    def freeze(self) -> None:
        if self.view.stale_since_ns is None:
            self.forget_ended()
        self.view.freeze()

    @rule(keys=st.sets(KEYS))
    def thaw(self, keys: set[str]) -> None:
        until_ns = self.clock.now_ns() + 5 * NS_PER_S
        self.view.replace([self.made(key, until_ns) for key in keys])
        self.model = dict.fromkeys(keys, self.clock.monotonic_ns() + 5 * NS_PER_S)

    @rule()
    def sweep(self) -> None:
        self.view.sweep()

    @invariant()
    def same_services(self) -> None:
        if self.view.stale_since_ns is None:
            self.forget_ended()
        assert [found.instance for found in self.view.all()] == sorted(self.model)

    def forget_ended(self) -> None:
        now_ns = self.clock.monotonic_ns()
        self.model = {key: end_ns for key, end_ns in self.model.items() if now_ns < end_ns}

    def made(self, key: str, until_ns: int) -> ServiceRecord:
        return record("bridge", key, lease_until_ns=until_ns)


ViewMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
test_view_machine = ViewMachine.TestCase
