"""What `aitrading status` says: the worst word of supervisor, part and gateway, with its reason."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.testing.async_test import async_test
from aitrading.server.api_gateway.health.peer_report import PeerComponent, PeerReport
from aitrading.server.dashboard.report import PartLine, PlatformReport, TradingLine
from aitrading.server.supervisor.errors import ADMIN_CALL_REFUSED
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.overall_health import OverallHealth
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


@asynccontextmanager
async def gateway(folder: Path, status: str) -> AsyncGenerator[Home]:
    """A home in which the api-gateway answers."""
    home = Home(folder / "home")
    home.run.mkdir(parents=True)
    body = msgspec.json.encode(report(status))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        writer.close()

    socket = str(home.run / "api-gateway.sock")
    async with await asyncio.start_unix_server(answer, socket):
        yield home


async def nobody_asks(_: Mapping[str, Any]) -> msgspec.Raw:
    raise AssertionError("there was no need to ask the gateway for its reasons")


@async_test
async def test_a_part_is_as_ill_as_it_says_itself(toys: ModuleType, short_folder: Path) -> None:
    full = PeerComponent(state="FAILED", detail="the disk is full")
    specs = {
        "api-gateway": part(toys, "api-gateway", told=says("HEALTHY")),
        "data-bridge": part(toys, "data-bridge", told=says("FAILED", spool=full)),
        "trading-engine": part(toys, "trading-engine", told=says_nothing),
    }
    known = supervised(api_gateway=HEALTHY, data_bridge=HEALTHY, trading_engine=HEALTHY)
    async with gateway(short_folder, "HEALTHY") as home:
        state = await OverallHealth(home, lambda: known, specs, nobody_asks).look()
    assert (state.status, state.ready) == (FAILED, False)
    assert state.services["api-gateway"] == ChildState(state=HEALTHY)
    bridge, engine = state.services["data-bridge"], state.services["trading-engine"]
    assert (bridge.state, bridge.message) == (FAILED, "spool FAILED: the disk is full")
    assert engine.state is DEGRADED
    assert "does not tell how it is" in engine.message


@async_test
async def test_an_engine_is_asked_now_and_not_when_the_supervisor_looks_next(
    toys: ModuleType, short_folder: Path
) -> None:
    specs = {"postgres": part(toys, "postgres", Kind.ENGINE)}
    known = supervised(postgres=HEALTHY)
    state = await OverallHealth(Home(short_folder), lambda: known, specs, nobody_asks).look()
    assert (state.status, state.ready) == (DEGRADED, True)
    assert "did not do its work" in state.engines["postgres"].message


@async_test
async def test_what_only_the_gateway_knows_counts_with_its_reason(
    toys: ModuleType, short_folder: Path
) -> None:
    specs = {
        name: part(toys, name, told=says("HEALTHY")) for name in ("api-gateway", "data-bridge")
    }
    known = supervised(api_gateway=HEALTHY, data_bridge=HEALTHY)
    line = PartLine(name="data-bridge", state="UNKNOWN", detail="does not answer")

    async def answer(_: Mapping[str, Any]) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(report("FAILED", line)))

    async def refuse(_: Mapping[str, Any]) -> msgspec.Raw:
        raise ADMIN_CALL_REFUSED.error(reason="it is away")

    async with gateway(short_folder, "FAILED") as home:
        reasoned = await OverallHealth(home, lambda: known, specs, answer).look()
        bare = await OverallHealth(home, lambda: known, specs, refuse).look()
    bridge = reasoned.services["data-bridge"]
    assert bridge.state is DEGRADED
    assert bridge.message == "does not answer (as the api-gateway sees it)"
    for state in (reasoned, bare):
        assert (state.status, state.ready) == (FAILED, False)
        assert "calls the platform FAILED" in state.problems[0]


@async_test
async def test_a_gateway_that_does_not_answer_is_no_good_news(
    toys: ModuleType, short_folder: Path
) -> None:
    specs = {"api-gateway": part(toys, "api-gateway", told=says("HEALTHY"))}
    known = supervised(api_gateway=HEALTHY)
    state = await OverallHealth(Home(short_folder), lambda: known, specs, nobody_asks).look()
    assert (state.status, state.ready) == (DEGRADED, True)
    assert "does not tell how the platform is" in state.problems[0]


@async_test
async def test_all_is_well_when_everybody_says_so(toys: ModuleType, short_folder: Path) -> None:
    specs = {"api-gateway": part(toys, "api-gateway", told=says("HEALTHY"))}
    known = supervised(api_gateway=HEALTHY)
    async with gateway(short_folder, "HEALTHY") as home:
        assert await OverallHealth(home, lambda: known, specs, nobody_asks).look() == known
