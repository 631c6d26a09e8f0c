"""What `aitrading status` says: the worst word of supervisor, part and gateway, with its reason."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.testing.async_test import async_test
from aitrading.server.api_gateway.health.peer_report import PeerComponent, PeerReport
from aitrading.server.dashboard.report import (
    ChainLine,
    HopLine,
    PartLine,
    PlatformReport,
    TradingLine,
)
from aitrading.server.supervisor.errors import ADMIN_CALL_REFUSED
from aitrading.server.supervisor.overall_health import Call, OverallHealth
from aitrading.server.supervisor.plan import ChildSpec, Kind
from aitrading.server.supervisor.state import ChildState, PlatformState

HEALTHY, DEGRADED, FAILED = (
    ComponentState.HEALTHY,
    ComponentState.DEGRADED,
    ComponentState.FAILED,
)


def says(state: str, **components: PeerComponent) -> Callable[[], Awaitable[PeerReport | None]]:
    async def told() -> PeerReport:
        return PeerReport(
            service="", instance="", version="", state=state, ready=True, components=components
        )

    return told


async def says_nothing() -> None:
    return None


def part(toys: ModuleType, name: str, kind: Kind = Kind.SERVICE, **changes: Any) -> ChildSpec:
    program = toys.ToyProgram(socket=Path("/nobody.sock"))
    return ChildSpec(name=name, kind=kind, program=program, **changes)


def supervised(**states: ComponentState) -> PlatformState:
    services = {
        name.replace("_", "-"): ChildState(state=state)
        for name, state in states.items()
        if name != "postgres"
    }
    engines = {"postgres": ChildState(state=states["postgres"])} if "postgres" in states else {}
    return PlatformState(ready=True, started_in_s=1.0, services=services, engines=engines)


def report(status: str, *services: PartLine) -> PlatformReport:
    trading = TradingLine(state="HALTED", reason="")
    return PlatformReport(now="", status=status, trading=trading, services=services)


def gateway(said: PlatformReport | None) -> Call:
    """An api-gateway that says this when it is asked in the administrator's name, or nothing."""

    async def answer(_: Mapping[str, Any]) -> msgspec.Raw:
        if said is None:
            raise ADMIN_CALL_REFUSED.error(reason="it is away")
        return msgspec.Raw(msgspec.json.encode(said))

    return answer


@async_test
async def test_a_part_is_as_ill_as_it_says_itself(toys: ModuleType) -> None:
    full = PeerComponent(state="FAILED", detail="the disk is full")
    specs = {
        "api-gateway": part(toys, "api-gateway", told=says("HEALTHY")),
        "data-bridge": part(toys, "data-bridge", told=says("FAILED", spool=full)),
        "trading-engine": part(toys, "trading-engine", told=says_nothing),
    }
    known = supervised(api_gateway=HEALTHY, data_bridge=HEALTHY, trading_engine=HEALTHY)
    state = await OverallHealth(lambda: known, specs, gateway(report("HEALTHY"))).look()
    assert (state.status, state.ready) == (FAILED, False)
    assert state.services["api-gateway"] == ChildState(state=HEALTHY)
    bridge, engine = state.services["data-bridge"], state.services["trading-engine"]
    assert (bridge.state, bridge.message) == (FAILED, "spool FAILED: the disk is full")
    assert engine.state is DEGRADED
    assert "does not tell how it is" in engine.message


@async_test
async def test_an_engine_is_asked_now_and_not_when_the_supervisor_looks_next(
    toys: ModuleType,
) -> None:
    specs = {"postgres": part(toys, "postgres", Kind.ENGINE)}
    known = supervised(postgres=HEALTHY)
    state = await OverallHealth(lambda: known, specs, gateway(None)).look()
    assert (state.status, state.ready) == (DEGRADED, True)
    assert "did not do its work" in state.engines["postgres"].message


@async_test
async def test_what_only_the_gateway_knows_counts_with_its_reason(toys: ModuleType) -> None:
    specs = {
        name: part(toys, name, told=says("HEALTHY")) for name in ("api-gateway", "data-bridge")
    }
    known = supervised(api_gateway=HEALTHY, data_bridge=HEALTHY)
    line = PartLine(name="data-bridge", state="UNKNOWN", detail="does not answer")
    state = await OverallHealth(lambda: known, specs, gateway(report("FAILED", line))).look()
    bridge = state.services["data-bridge"]
    assert bridge.state is DEGRADED
    assert bridge.message == "does not answer (as the api-gateway sees it)"
    assert (state.status, state.ready) == (FAILED, False)
    assert "calls the platform FAILED" in state.problems[0]


@async_test
async def test_a_gateway_that_does_not_answer_is_no_good_news(toys: ModuleType) -> None:
    specs = {"api-gateway": part(toys, "api-gateway", told=says("HEALTHY"))}
    known = supervised(api_gateway=HEALTHY)
    state = await OverallHealth(lambda: known, specs, gateway(None)).look()
    assert (state.status, state.ready) == (DEGRADED, True)
    assert "does not tell how the platform is" in state.problems[0]


@async_test
async def test_all_is_well_when_everybody_says_so(toys: ModuleType) -> None:
    specs = {"api-gateway": part(toys, "api-gateway", told=says("HEALTHY"))}
    known = supervised(api_gateway=HEALTHY)
    assert await OverallHealth(lambda: known, specs, gateway(report("HEALTHY"))).look() == known


@async_test
async def test_a_chain_that_failed_is_told_and_makes_no_part_ill(toys: ModuleType) -> None:
    specs = {"api-gateway": part(toys, "api-gateway", told=says("HEALTHY"))}
    known = supervised(api_gateway=HEALTHY)
    hop = HopLine(
        name="bridge-spool", service="data-bridge", kind="disk", state="FAILED",
        reason="nothing passes", count=0, failed=0, p50_ms=None, p99_ms=None, last_seen=None,
        last_trace_id=None,
    )  # fmt: skip
    failed = ChainLine(
        name="market-data",
        description="",
        state="FAILED",
        since="2026-11-29T12:00:00Z",
        hops=(hop,),
    )
    told = msgspec.structs.replace(report("DEGRADED"), chains=(failed,))
    state = await OverallHealth(lambda: known, specs, gateway(told)).look()
    assert (state.status, state.ready, state.problems) == (DEGRADED, True, ())
    assert state.services == known.services
    [(name, chain)] = state.chains.items()
    assert (name, chain.state, chain.since) == ("market-data", "FAILED", "2026-11-29T12:00:00Z")
    assert chain.fault == "bridge-spool in data-bridge: nothing passes"
