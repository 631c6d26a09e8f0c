"""The platform report: never fresher than what is known, never silent about what is not."""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.chains import (
    BRIDGE_SPOOL,
    LINK_BRIDGE,
    MARKET_DATA,
    MARKET_DATA_CHAIN,
)
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import Known, ResilienceRegistry
from aitrading.core.kit.clock import NS_PER_S, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.seeded import SeededRandomness
from aitrading.server.api_gateway.health.build import Knowledge, build_report
from aitrading.server.api_gateway.health.collector import PlatformHealth
from aitrading.server.api_gateway.health.peer_report import (
    PeerComponent,
    PeerReport,
    SupervisedPart,
    SupervisorReport,
)
from aitrading.server.api_gateway.health.sources import (
    FAILURES_UNTIL_OPEN,
    OPEN_S,
    PeerSource,
    SupervisorSource,
)

NOW_NS = 1_800_000_000 * NS_PER_S
SILENT = ErrorSpec(
    code="TEST_SILENT", category=Category.RETRYABLE, message="no answer", why="", remedy=""
)


def handler(clock: ManualClock) -> ErrorHandler:
    return ErrorHandler(
        clock=clock,
        randomness=SeededRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )


def peer(service: str = "data-bridge", state: str = "HEALTHY", **changes: Any) -> PeerReport:
    return PeerReport(
        service=service, instance="i", version="1", state=state, ready=True, **changes
    )


def fresh(value: Any) -> Known[Any]:
    return Known(value=value, known_at_ns=NOW_NS, stale_since_ns=None)


def stale(value: Any) -> Known[Any]:
    return Known(value=value, known_at_ns=NOW_NS - NS_PER_S, stale_since_ns=NOW_NS)


def knowledge(**changes: Any) -> Knowledge:
    empty: dict[str, Any] = {
        "now_ns": NOW_NS,
        "peers": {},
        "supervisor": None,
        "chains": (),
        "registry_stale_since_ns": None,
    }
    return Knowledge(**(empty | changes))


def supervised(**services: SupervisedPart) -> Known[SupervisorReport]:
    named = {name.replace("_", "-"): part for name, part in services.items()}
    engines = {"postgres": SupervisedPart(state="HEALTHY", pid=7)}
    return fresh(SupervisorReport(ready=True, services=named, engines=engines))


def test_a_service_that_answers_is_shown_with_its_process() -> None:
    part = SupervisedPart(state="HEALTHY", port=8001, pid=42, rss_mb=61.2)
    report = build_report(
        knowledge(peers={"data-bridge": fresh(peer())}, supervisor=supervised(data_bridge=part))
    )
    (line,) = report.services
    assert (line.name, line.state, line.port, line.pid) == ("data-bridge", "HEALTHY", 8001, 42)
    assert report.status == "HEALTHY"
    assert report.problems == ()


def test_a_silent_service_keeps_what_it_said_and_is_unknown() -> None:
    report = build_report(
        knowledge(
            peers={"data-bridge": stale(peer())},
            supervisor=supervised(data_bridge=SupervisedPart(state="HEALTHY", pid=42)),
        )
    )
    (line,) = report.services
    assert line.state == "UNKNOWN"
    assert line.version == "1"
    assert line.as_of is not None
    assert line.as_of < report.now
    assert report.status == "FAILED"
    assert "has not answered since" in report.problems[0]


def test_the_supervisor_knows_better_than_silence() -> None:
    restarting = SupervisedPart(state="STARTING", message="exited with 1", restarts=2)
    report = build_report(
        knowledge(
            peers={"data-bridge": stale(peer())}, supervisor=supervised(data_bridge=restarting)
        )
    )
    (line,) = report.services
    assert (line.state, line.detail, line.restarts) == ("STARTING", "exited with 1", 2)


def test_a_service_that_never_answered_is_listed() -> None:
    report = build_report(knowledge(peers={"data-bridge": None}))
    assert report.services[0].state == "UNKNOWN"
    assert report.services[0].as_of is None
    assert "data-bridge has not answered yet." in report.problems
    assert "No supervisor is running here: engines and processes are not known." in report.problems


def test_the_detail_names_the_call_site_that_acts_while_every_component_is_well() -> None:
    sites = {
        "page.last-known": {"strategy": "fallback", "active": True, "last_error": "PEER_AWAY"},
        "bus.reconnect": {"strategy": "reconnect", "active": True, "last_error": "BUS_AWAY"},
    }
    said = peer(state="DEGRADED", resilience={"recovery": sites})
    assert said.detail() == "bus.reconnect acts (reconnect): BUS_AWAY"


def test_the_detail_names_the_component_that_is_not_well() -> None:
    components = {"bus": PeerComponent(state="DEGRADED", detail="reconnecting")}
    ill = peer(state="DEGRADED", components=components)
    report = build_report(knowledge(peers={"data-bridge": fresh(ill)}))
    assert report.services[0].detail == "bus DEGRADED: reconnecting"
    assert report.status == "DEGRADED"


def test_guards_that_act_come_first() -> None:
    resilience = {
        "breaker": {
            "a": {"state": "CLOSED", "failures_in_row": 0, "opened": 0, "retry_after_s": 0.0},
            "b": {"state": "OPEN", "failures_in_row": 5, "opened": 1, "retry_after_s": 12.0},
        },
        "bulkhead": {"c": {"running": 4, "limit": 4, "refused": 3}},
        "fallback": {"d": {"active": True, "substituted": 2}},
        "isolation": {"e": {"isolated": 0}},
        "halted": {"ingest": {"reason": "the spool is full"}},
    }
    report = build_report(knowledge(peers={"data-bridge": fresh(peer(resilience=resilience))}))
    found = [(line.name, line.state, line.detail) for line in report.guards]
    assert found == [
        ("b", "OPEN", "again in 12 s"),
        ("c", "BUSY", "4 of 4, 3 refused"),
        ("d", "DEGRADED", "2 substituted"),
        ("ingest", "HALTED", "the spool is full"),
        ("a", "CLOSED", ""),
        ("e", "OK", ""),
    ]
    assert report.services[0].detail == "ingest halted: the spool is full"


@pytest.mark.parametrize(
    ("engine", "state", "reason"),
    [
        (None, "HALTED", "does not answer"),
        (stale(peer("trading-engine")), "HALTED", "does not answer"),
        (fresh(peer("trading-engine")), "HALTED", "TRADING_NOT_AVAILABLE"),
        (
            fresh(
                peer(
                    "trading-engine",
                    components={"trading": PeerComponent(state="DEGRADED", detail="bus lost")},
                )
            ),
            "HALTED",
            "bus lost",
        ),
        (
            fresh(
                peer(
                    "trading-engine",
                    components={
                        "trading": PeerComponent(state="HEALTHY", fields={"trading": "ENABLED"})
                    },
                )
            ),
            "ENABLED",
            "",
        ),
    ],
)
def test_trading_is_halted_unless_the_engine_says_otherwise_now(
    engine: Any, state: str, reason: str
) -> None:
    trading = build_report(knowledge(peers={"trading-engine": engine})).trading
    assert trading.state == state
    assert reason in trading.reason


def test_chains_tell_latency_only_where_something_passed() -> None:
    chains = ChainRegistry(clock=ManualClock(), service="api-gateway", instance="i")
    chains.define(MARKET_DATA_CHAIN)
    chains.record(MARKET_DATA, LINK_BRIDGE, 2_000_000)
    chains.record(MARKET_DATA, BRIDGE_SPOOL, 0, ok=False)
    report = build_report(knowledge(chains=(chains.health(MARKET_DATA),)))
    hops = {hop.name: hop for hop in report.chains[0].hops}
    assert hops[LINK_BRIDGE].p50_ms == pytest.approx(2.0, rel=0.07)
    assert hops[BRIDGE_SPOOL].p50_ms is None
    assert hops[BRIDGE_SPOOL].state == "FAILED"
    assert hops["connector-link"].last_seen is None


def test_a_chain_that_failed_is_a_problem_of_the_whole_and_of_no_service() -> None:
    chains = ChainRegistry(clock=ManualClock(), service="api-gateway", instance="i")
    chains.define(MARKET_DATA_CHAIN)
    chains.record(MARKET_DATA, LINK_BRIDGE, 2_000_000)
    known = {
        "peers": {"data-bridge": fresh(peer())},
        "supervisor": supervised(data_bridge=SupervisedPart(state="HEALTHY", pid=42)),
    }
    starting = build_report(knowledge(chains=(chains.health(MARKET_DATA),), **known))
    assert (starting.chains[0].state, starting.status) == ("STARTING", "HEALTHY")
    chains.record(MARKET_DATA, BRIDGE_SPOOL, 0, ok=False)
    report = build_report(knowledge(chains=(chains.health(MARKET_DATA),), **known))
    assert (report.status, report.services[0].state) == ("DEGRADED", "HEALTHY")
    [problem] = report.problems
    assert problem.startswith("Chain market-data FAILED since ")
    assert "bridge-spool in data-bridge: 100% of 1 failed" in problem


@dataclass
class Hub:
    """As much of the hub as the health of the house asks."""

    chains: ChainRegistry
    stale_since_ns: int | None = None


@async_test
async def test_since_when_a_chain_failed_is_known_though_nobody_looked(tmp_path: Path) -> None:
    clock = ManualClock()
    chains = ChainRegistry(clock=clock, service="api-gateway", instance="i")
    chains.define(MARKET_DATA_CHAIN)
    hub: Any = Hub(chains)
    errors = handler(clock)
    own = HealthRegistry(
        service="api-gateway", instance="i", version="1", clock=clock,
        resilience=ResilienceRegistry(), errors=errors,
    )  # fmt: skip
    health = PlatformHealth(
        (), SupervisorSource(tmp_path / "none"), own=own, hub=hub, clock=clock, errors=errors,
        period_s=1,
    )  # fmt: skip
    await health.start()
    try:
        await clock.advance(1)
        chains.record(MARKET_DATA, BRIDGE_SPOOL, 0, ok=False)
        before_ns = clock.now_ns()
        await clock.advance(20)
        [chain] = health.report().chains
        assert chain.state == "FAILED"
        assert chain.since is not None
        assert chain.since <= rfc3339_of_ns(before_ns + 2 * NS_PER_S)
    finally:
        await health.stop()


class Peer:
    """A service that answers or not, as the test says; the network is what is replaced."""

    def __init__(self) -> None:
        self.calls = 0
        self.answers = True

    async def get(self, path: str, *, answer: type[PeerReport], timeout_s: float) -> PeerReport:
        assert path == "/health"
        assert answer is PeerReport
        assert timeout_s > 0
        self.calls += 1
        if not self.answers:
            raise SILENT.error()
        return peer()


def test_the_last_answer_is_kept_while_a_peer_is_silent() -> None:
    async def scenario() -> None:
        clock, client = ManualClock(), Peer()
        source = PeerSource("data-bridge", client, clock=clock, errors=handler(clock))
        assert (await source.look()).stale_since_ns is None
        client.answers = False
        kept = await source.look()
        assert kept.value == peer()
        assert kept.stale_since_ns == clock.now_ns()
        client.answers = True
        assert (await source.look()).stale_since_ns is None

    asyncio.run(scenario())


def test_a_peer_that_never_answered_has_nothing_to_fall_back_to() -> None:
    async def scenario() -> None:
        clock, client = ManualClock(), Peer()
        client.answers = False
        source = PeerSource("x", client, clock=clock, errors=handler(clock))
        with pytest.raises(AitradingError, match="TEST_SILENT"):
            await source.look()

    asyncio.run(scenario())


def test_the_breaker_stops_asking_a_silent_peer_and_tries_again() -> None:
    async def scenario() -> None:
        clock, client = ManualClock(), Peer()
        source = PeerSource("data-bridge", client, clock=clock, errors=handler(clock))
        await source.look()
        client.answers = False
        for _ in range(FAILURES_UNTIL_OPEN + 5):
            await source.look()
        assert client.calls == 1 + FAILURES_UNTIL_OPEN
        client.answers = True
        await clock.advance(OPEN_S)
        assert (await source.look()).stale_since_ns is None

    asyncio.run(scenario())


def test_the_supervisor_is_read_from_its_file_with_memory_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    source = SupervisorSource(path)
    assert source.look() is None
    path.write_text("{")
    assert source.look() is None
    part = {"state": "HEALTHY", "pid": os.getpid(), "rss_mb": None, "more": 1}
    path.write_text(json.dumps({"ready": True, "engines": {"postgres": part}}))
    known = source.look()
    assert known is not None
    measured = known.value.engines["postgres"].rss_mb
    assert measured is not None
    assert measured > 1
