"""Chains: latency and health per hop, merged across processes, and what a lost service breaks."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.infrastructure import latency
from aitrading.core.infrastructure.chain_metrics import publish_chains
from aitrading.core.infrastructure.chain_registry import (
    PATIENCE_S,
    ChainDefinition,
    ChainHealth,
    ChainRegistry,
    Hop,
    HopKind,
)
from aitrading.core.infrastructure.chain_reporter import ChainReporter
from aitrading.core.infrastructure.chain_window import WINDOW_S
from aitrading.core.infrastructure.chains import ALL_CHAINS, MARKET_DATA
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import NS_PER_MS
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock, settle
from aitrading.core.testing.memory_bus import MemoryBroker, MemoryBus
from aitrading.core.testing.seeded import SeededRandomness

TRACE = "0af7651916cd43dd8448eb211c80319c"
CHAIN = ChainDefinition(
    name="orders",
    description="An order.",
    hops=(
        Hop(name="api-engine", service="engine", kind=HopKind.HTTP, budget_ms=10),
        Hop(name="engine-store", service="store", kind=HopKind.DATABASE),
        Hop(name="engine-watch", service="engine", kind=HopKind.FAN_OUT, optional=True),
    ),
)


def make(clock: ManualClock, instance: str = "1") -> ChainRegistry:
    registry = ChainRegistry(clock=clock, service="test", instance=instance)
    registry.define(CHAIN)
    return registry


def states(health: ChainHealth) -> list[str]:
    return [hop.state.value for hop in health.hops]


@given(st.integers(0, 1 << 62))
def test_a_bucket_is_true_to_a_sixteenth(value: int) -> None:
    middle = latency.middle_of(latency.bucket_of(value))
    assert abs(middle - value) <= value / 16


@given(st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_buckets_keep_the_order(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert latency.bucket_of(low) <= latency.bucket_of(high)


@given(st.lists(st.integers(0, 10**10), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_near_the_true_ones(values: list[int], share: float) -> None:
    buckets: latency.Buckets = {}
    for value in values:
        latency.add(buckets, {latency.bucket_of(value): 1})
    exact = next(v for n, v in enumerate(sorted(values), 1) if n >= share * len(values))
    assert abs(latency.quantile(buckets, share) - exact) <= exact / 16


@given(st.lists(st.integers(0, 10**9)), st.lists(st.integers(0, 10**9)))
def test_merging_is_the_same_as_measuring_in_one_place(here: list[int], there: list[int]) -> None:
    clock = ManualClock()
    one, two, both = make(clock, "1"), make(clock, "2"), make(clock, "3")
    for registry, values in ((one, here), (two, there), (both, here + there)):
        for value in values:
            registry.record("orders", "api-engine", value)
    for event in two.drain():
        one.merge(event)
    merged, whole = one.health("orders").hops[0], both.health("orders").hops[0]
    assert (merged.count, merged.p50_ns, merged.p99_ns) == (
        whole.count,
        whole.p50_ns,
        whole.p99_ns,
    )


def test_inf_15_an_unused_chain_is_new_and_a_busy_one_healthy() -> None:
    clock = ManualClock()
    registry = make(clock)
    assert registry.health("orders").state is ComponentState.NEW
    for _ in range(100):
        registry.record("orders", "api-engine", 2 * NS_PER_MS, trace_id=TRACE)
        registry.record("orders", "engine-store", 3 * NS_PER_MS)
    health = registry.health("orders")
    assert health.state is ComponentState.HEALTHY
    assert states(health) == ["HEALTHY", "HEALTHY", "NEW"]
    first = health.hops[0]
    assert (first.count, first.failed, first.last_trace_id) == (100, 0, TRACE)
    assert first.last_seen_ns == clock.now_ns()
    assert first.p50_ns == pytest.approx(2 * NS_PER_MS, rel=0.07)


@pytest.mark.parametrize(
    ("failures", "state"), [(0, "HEALTHY"), (1, "HEALTHY"), (2, "DEGRADED"), (50, "FAILED")]
)
def test_failures_decide_the_state_of_a_hop(failures: int, state: str) -> None:
    registry = make(ManualClock())
    for number in range(100):
        registry.record("orders", "api-engine", NS_PER_MS, ok=number >= failures)
        registry.record("orders", "engine-store", NS_PER_MS)
    health = registry.health("orders")
    assert states(health)[0] == state
    assert health.state.value == state


def test_a_hop_over_its_budget_is_degraded_and_says_so() -> None:
    registry = make(ManualClock())
    registry.record("orders", "api-engine", 20 * NS_PER_MS)
    registry.record("orders", "engine-store", 20 * NS_PER_MS)
    first, second, _ = registry.health("orders").hops
    assert (first.state, second.state) == (ComponentState.DEGRADED, ComponentState.HEALTHY)
    assert "budget of 10 ms" in first.reason


@async_test
async def test_a_hop_that_swallows_data_is_failed_since_then() -> None:
    clock = ManualClock()
    registry = make(clock)
    for _ in range(PATIENCE_S):
        registry.record("orders", "api-engine", NS_PER_MS)
        await clock.advance(1)
    health = registry.health("orders")
    assert states(health) == ["HEALTHY", "FAILED", "NEW"]
    assert (health.state, health.since_ns) == (ComponentState.FAILED, clock.now_ns())
    await clock.advance(5)
    assert registry.health("orders").since_ns == health.since_ns


@async_test
async def test_a_hop_has_time_while_data_has_just_begun_to_come_again() -> None:
    clock = ManualClock()
    registry = make(clock)
    registry.record("orders", "api-engine", NS_PER_MS)
    assert states(registry.health("orders")) == ["HEALTHY", "STARTING", "NEW"]
    registry.record("orders", "engine-store", NS_PER_MS)
    await clock.advance(2 * WINDOW_S)
    assert registry.health("orders").state is ComponentState.STOPPED
    registry.record("orders", "api-engine", NS_PER_MS)
    assert registry.health("orders").state is ComponentState.STARTING
    await clock.advance(PATIENCE_S - 1)
    assert registry.health("orders").state is ComponentState.STARTING
    await clock.advance(1)
    assert registry.health("orders").state is ComponentState.FAILED


@async_test
async def test_a_hop_that_falls_silent_amid_the_flow_is_failed_at_once() -> None:
    clock = ManualClock()
    registry = make(clock)
    registry.record("orders", "engine-store", NS_PER_MS)
    for _ in range(WINDOW_S):
        registry.record("orders", "api-engine", NS_PER_MS)
        assert registry.health("orders").state is ComponentState.HEALTHY
        await clock.advance(1)
    assert states(registry.health("orders")) == ["HEALTHY", "FAILED", "NEW"]


@async_test
async def test_what_was_seen_longer_ago_than_the_window_is_forgotten() -> None:
    clock = ManualClock()
    registry = make(clock)
    registry.record("orders", "api-engine", NS_PER_MS)
    registry.record("orders", "engine-store", NS_PER_MS)
    await clock.advance(WINDOW_S / 2)
    assert registry.health("orders").hops[0].count == 1
    await clock.advance(WINDOW_S)
    health = registry.health("orders")
    assert states(health) == ["STOPPED", "STOPPED", "NEW"]
    assert health.state is ComponentState.STOPPED
    assert health.hops[0].last_seen_ns is not None
    registry.record("orders", "api-engine", NS_PER_MS)
    assert registry.health("orders").hops[0].count == 1


def test_draining_gives_each_measurement_once_and_nothing_returns_to_its_source() -> None:
    registry = make(ManualClock())
    registry.record("orders", "api-engine", NS_PER_MS, count=5)
    registry.record("orders", "api-engine", NS_PER_MS, ok=False)
    (event,) = registry.drain()
    assert (event.hops[0].count, event.hops[0].failed) == (6, 1)
    assert registry.drain() == []
    registry.merge(event)
    assert registry.health("orders").hops[0].count == 6


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda registry: registry.health("order"), "CHAIN_UNKNOWN"),
        (lambda registry: registry.record("orders", "api-engin", 1), "CHAIN_HOP_UNKNOWN"),
        (lambda registry: registry.record("order", "api-engine", 1), "CHAIN_UNKNOWN"),
    ],
    ids=["health", "hop", "chain"],
)
def test_unknown_names_are_told_with_a_suggestion(
    ask: Callable[[ChainRegistry], object], code: str
) -> None:
    with pytest.raises(AitradingError, match="did you mean") as refused:
        ask(make(ManualClock()))
    assert refused.value.code == code


def test_a_chain_is_defined_once() -> None:
    registry = make(ManualClock())
    registry.define(CHAIN)
    with pytest.raises(AitradingError) as refused:
        registry.define(ChainDefinition(name="orders", description="Another.", hops=()))
    assert refused.value.code == "CHAIN_REDEFINED"


def test_tells_what_a_lost_service_breaks_and_starves() -> None:
    registry = ChainRegistry(clock=ManualClock(), service="test", instance="1")
    registry.define(*ALL_CHAINS, CHAIN)
    (impact,) = registry.impact("database-service")
    assert impact.chain == MARKET_DATA
    assert (impact.broken, impact.starved) == (("spool-database", "database-clickhouse"), ())
    (impact,) = registry.impact("envoy")
    assert impact.broken == ("link-bridge", "bridge-subscriber")
    assert impact.starved == ("bridge-spool", "spool-database", "database-clickhouse")
    (impact,) = registry.impact("store")
    assert (impact.broken, impact.starved) == (("engine-store",), ("engine-watch",))
    assert registry.impact("nobody") == []


def test_many_threads_record_at_once() -> None:
    registry = make(ManualClock())

    def work() -> None:
        for _ in range(1000):
            registry.record("orders", "api-engine", NS_PER_MS)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    drained = 0
    while any(thread.is_alive() for thread in threads):
        drained += sum(hop.count for event in registry.drain() for hop in event.hops)
    drained += sum(hop.count for event in registry.drain() for hop in event.hops)
    assert drained == 8000
    assert registry.health("orders").hops[0].count == 8000


def test_every_scrape_shows_the_chains() -> None:
    registry, metrics = make(ManualClock()), Metrics()
    publish_chains(registry, metrics)
    registry.record("orders", "api-engine", 500 * NS_PER_MS, ok=True)
    registry.record("orders", "api-engine", 500 * NS_PER_MS, ok=False)
    text = metrics.render().decode()
    assert 'aitrading_chain_hop_window_failed{chain="orders",hop="api-engine"} 1.0' in text
    assert 'aitrading_chain_state{chain="orders",state="FAILED"} 1.0' in text
    assert (
        'aitrading_chain_hop_latency_s{chain="orders",hop="api-engine",quantile="0.99"} 0.' in text
    )


@async_test
async def test_inf_15_processes_share_their_measurements_over_the_bus_and_survive_its_loss() -> (
    None
):
    clock, broker = ManualClock(), MemoryBroker()
    randomness = SeededRandomness()
    errors = ErrorHandler(
        clock=clock, randomness=randomness, metrics=Metrics(), resilience=ResilienceRegistry()
    )
    ids = SystemIdFactory(clock, randomness)
    buses = [MemoryBus(broker, clock=clock, ids=ids, errors=errors, name=n) for n in ("a", "b")]
    here, there = make(clock, "1"), make(clock, "2")
    reporters = [
        ChainReporter(bus, chains, clock=clock, errors=errors, merges=chains is there)
        for bus, chains in zip(buses, (here, there), strict=True)
    ]
    for part in (*buses, *reporters):
        await part.start()
    await settle()
    here.record("orders", "api-engine", NS_PER_MS, trace_id=TRACE)
    await clock.advance(1)
    assert there.health("orders").hops[0].last_trace_id == TRACE

    broker.stop()
    here.record("orders", "api-engine", NS_PER_MS)
    await clock.advance(1)
    assert errors.latest()[0].code == "BUS_UNAVAILABLE"
    broker.start()
    await clock.advance(10)
    here.record("orders", "api-engine", NS_PER_MS)
    await clock.advance(1)
    assert there.health("orders").hops[0].count == 2
    for part in (*reporters, *buses):
        await part.stop()
