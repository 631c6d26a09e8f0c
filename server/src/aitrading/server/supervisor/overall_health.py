"""How the platform is by every word there is: the supervisor's, each part's own, the gateway's.

The supervisor looks every few seconds and knows processes; a part knows its components at once;
the gateway knows who answers whom, and is what the page shows. What counts is the worst of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.errors import AitradingError
from aitrading.server.dashboard.report import ChainLine, PartLine, PlatformReport, fault_of
from aitrading.server.supervisor.children import NO_REPORT
from aitrading.server.supervisor.plan import ChildSpec
from aitrading.server.supervisor.state import (
    ChainState,
    ChildState,
    PlatformState,
    overall,
    worse,
)

GATEWAY: Final = "api-gateway"
ASK_TIMEOUT_S: Final = 2.5
"""Whoever asks for the status waits for no part longer than this."""
NOT_WORKING_NOW: Final = "asked just now, it did not do its work"
GATEWAY_SILENT: Final = (
    "The api-gateway does not tell how the platform is; shown is what each part says of itself."
)
GATEWAY_WORSE: Final = "The api-gateway, and so the page, calls the platform {status}."
_ADMIN_CALL: Final = {"peer": GATEWAY, "path": "/internal/v1/admin/platform"}

Call = Callable[[Mapping[str, Any]], Awaitable[msgspec.Raw]]


class OverallHealth:
    """Asks everybody at the same time."""

    def __init__(
        self,
        supervised: Callable[[], PlatformState],
        specs: Mapping[str, ChildSpec],
        call: Call,
    ) -> None:
        self._supervised = supervised
        self._specs = specs
        self._call = call

    async def look(self) -> PlatformState:
        """The state of the platform in which no part looks better than anybody says."""
        state = self._supervised()
        parts = {**state.engines, **state.services, **state.clients}
        async with asyncio.TaskGroup() as group:
            gateway = group.create_task(self._gateway_report())
            asked = {
                name: group.create_task(self._asked(name, part)) for name, part in parts.items()
            }
        known = {name: task.result() for name, task in asked.items()}
        state = _with_parts(state, known)
        return _with_gateway(state, gateway.result()) if GATEWAY in state.services else state

    async def _asked(self, name: str, part: ChildState) -> ChildState:
        """One that runs is asked; one that does not is known already."""
        if not part.state.is_serving or name not in self._specs:
            return part
        spec = self._specs[name]
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                if spec.told is None:
                    works = await spec.program.ready()
                    return part if works else _lowered(part, "DEGRADED", NOT_WORKING_NOW)
                report = await spec.told()
        except (OSError, TimeoutError):
            return _lowered(part, "DEGRADED", NOT_WORKING_NOW)
        if report is None:
            return _lowered(part, "DEGRADED", NO_REPORT)
        return _lowered(part, report.state, report.detail())

    async def _gateway_report(self) -> PlatformReport | None:
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                return msgspec.json.decode(await self._call(_ADMIN_CALL), type=PlatformReport)
        except (AitradingError, OSError, TimeoutError, msgspec.MsgspecError):
            return None


def _with_gateway(state: PlatformState, report: PlatformReport | None) -> PlatformState:
    if report is None:
        return _lowered_all(state, "DEGRADED", GATEWAY_SILENT)
    state = _with_chains(state, report.chains)
    if not worse(report.status, state.status):
        return state
    known = {line.name: line for line in (*report.services, *report.engines)}
    seen = {
        name: _as_seen(part, known[name])
        for name, part in {**state.engines, **state.services}.items()
        if name in known
    }
    state = _with_chains(_with_parts(state, seen), report.chains)
    if worse(report.status, state.status):
        return _lowered_all(state, report.status, GATEWAY_WORSE.format(status=report.status))
    return state


def _with_chains(state: PlatformState, chains: tuple[ChainLine, ...]) -> PlatformState:
    """A chain that failed makes no part ill, and the platform not HEALTHY."""
    failed = any(chain.state == ComponentState.FAILED for chain in chains)
    lowered = failed and worse(ComponentState.DEGRADED, state.status)
    return msgspec.structs.replace(
        state,
        chains={
            chain.name: ChainState(state=chain.state, since=chain.since, fault=fault_of(chain))
            for chain in chains
        },
        status=ComponentState.DEGRADED if lowered else state.status,
    )


def _as_seen(part: ChildState, line: PartLine) -> ChildState:
    return _lowered(part, line.state, f"{line.detail or line.state} (as the api-gateway sees it)")


def _lowered(part: ChildState, state: str, reason: str) -> ChildState:
    """The part in this state and for this reason, unless it is known to be as bad already."""
    if not worse(state, part.state):
        return part
    known = state in ComponentState.__members__
    return msgspec.structs.replace(
        part,
        state=ComponentState(state) if known else ComponentState.DEGRADED,
        message=reason or part.message,
    )


def _lowered_all(state: PlatformState, status: str, problem: str) -> PlatformState:
    lowered = ComponentState(status) if worse(status, state.status) else state.status
    return msgspec.structs.replace(
        state,
        status=lowered,
        ready=state.ready and lowered.is_serving,
        problems=(*state.problems, problem),
    )


def _with_parts(state: PlatformState, known: Mapping[str, ChildState]) -> PlatformState:
    services = {name: known.get(name, part) for name, part in state.services.items()}
    engines = {name: known.get(name, part) for name, part in state.engines.items()}
    required = [part.state for part in (*services.values(), *engines.values())]
    return msgspec.structs.replace(
        state,
        services=services,
        engines=engines,
        clients={name: known.get(name, part) for name, part in state.clients.items()},
        status=overall(required),
        ready=state.ready and all(each.is_serving for each in required),
    )
