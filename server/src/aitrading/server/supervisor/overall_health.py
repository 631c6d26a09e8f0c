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
from aitrading.server.dashboard.report import PartLine, PlatformReport
from aitrading.server.engines.http_probe import HttpTarget, http_body
from aitrading.server.supervisor.bundles import service_socket
from aitrading.server.supervisor.children import NO_REPORT
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.plan import ChildSpec
from aitrading.server.supervisor.state import ChildState, PlatformState, overall, worse

GATEWAY: Final = "api-gateway"
PUBLIC_HEALTH: Final = "/api/v1/health"
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
        home: Home,
        supervised: Callable[[], PlatformState],
        specs: Mapping[str, ChildSpec],
        call: Call,
    ) -> None:
        self._gateway = HttpTarget(socket=service_socket(home, GATEWAY))
        self._supervised = supervised
        self._specs = specs
        self._call = call

    async def look(self) -> PlatformState:
        """The state of the platform in which no part looks better than anybody says."""
        state = self._supervised()
        parts = {**state.engines, **state.services, **state.clients}
        async with asyncio.TaskGroup() as group:
            gateway = group.create_task(self._gateway_status())
            asked = {
                name: group.create_task(self._asked(name, part)) for name, part in parts.items()
            }
        known = {name: task.result() for name, task in asked.items()}
        return await self._with_gateway(_with_parts(state, known), gateway.result())

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

    async def _gateway_status(self) -> str | None:
        body = await http_body(self._gateway, PUBLIC_HEALTH)
        try:
            return msgspec.json.decode(body or b"", type=PlatformReport).status
        except msgspec.MsgspecError:
            return None

    async def _with_gateway(self, state: PlatformState, status: str | None) -> PlatformState:
        if GATEWAY not in state.services:
            return state
        if status is None:
            return _lowered_all(state, "DEGRADED", GATEWAY_SILENT)
        if not worse(status, state.status):
            return state
        report = await self._gateway_report()
        known = {line.name: line for line in (*report.services, *report.engines)} if report else {}
        seen = {
            name: _as_seen(part, known[name])
            for name, part in {**state.engines, **state.services}.items()
            if name in known
        }
        state = _with_parts(state, seen)
        if worse(status, state.status) or not seen:
            return _lowered_all(state, status, GATEWAY_WORSE.format(status=status))
        return state

    async def _gateway_report(self) -> PlatformReport | None:
        """With every part; asked for only when the gateway knows something that we do not."""
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                return msgspec.json.decode(await self._call(_ADMIN_CALL), type=PlatformReport)
        except (AitradingError, OSError, TimeoutError, msgspec.MsgspecError):
            return None


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
