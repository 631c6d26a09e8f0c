"""Breakers, bulkheads and the rest of a service's guards as lines for people."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from aitrading.core.kit.clock import rfc3339_of_ns
from aitrading.server.api_gateway.health.peer_report import PeerReport
from aitrading.server.dashboard.report import GuardLine

MAX_LINES: Final = 200
Statistics = dict[str, Any]
OK: Final = "OK"


def guard_lines(report: PeerReport) -> Iterator[GuardLine]:
    """Every guard of the service, what acts on a fault now first."""
    for kind, describe in _KINDS.items():
        for name, statistics in report.resilience.get(kind, {}).items():
            state, detail = describe(statistics)
            yield GuardLine(
                service=report.service, kind=kind, name=name, state=state, detail=detail
            )


def worst_first(line: GuardLine) -> tuple[bool, str, str, str]:
    """A key that puts what acts on a fault before what rests."""
    return (line.state in {OK, "CLOSED"}, line.service, line.kind, line.name)


def _breaker(statistics: Statistics) -> tuple[str, str]:
    state = str(statistics["state"])
    if state == "OPEN":
        return state, f"again in {statistics['retry_after_s']:.0f} s"
    failures = int(statistics["failures_in_row"])
    opened = int(statistics["opened"])
    return state, f"{failures} in a row" if failures else f"opened {opened}x" if opened else ""


def _bulkhead(statistics: Statistics) -> tuple[str, str]:
    refused = int(statistics.get("refused", 0))
    busy = int(statistics.get("running", 0)) >= int(statistics.get("limit", 1))
    detail = f"{statistics.get('running', 0)} of {statistics.get('limit', '?')}"
    return "BUSY" if busy else OK, f"{detail}, {refused} refused" if refused else detail


def _fallback(statistics: Statistics) -> tuple[str, str]:
    substituted = int(statistics["substituted"])
    detail = f"{substituted} substituted" if substituted else ""
    return "DEGRADED" if statistics["active"] else OK, detail


def _isolation(statistics: Statistics) -> tuple[str, str]:
    isolated = int(statistics["isolated"])
    return "DEGRADED" if isolated else OK, f"{isolated} kept out" if isolated else ""


def _halt(statistics: Statistics) -> tuple[str, str]:
    return "HALTED", str(statistics.get("reason", ""))


def _load(statistics: Statistics) -> tuple[str, str]:
    """Limits that shrank are no fault of this service: it does what it can."""
    if not statistics["step"]:
        return OK, ""
    since = rfc3339_of_ns(int(statistics["since_ns"]))[11:19]
    waits = f"work waits {statistics['wait_ms']:.0f} ms"
    return "REDUCED", f"{statistics['percent']} % of the limits since {since} UTC: {waits}"


_KINDS: Final[dict[str, Callable[[Statistics], tuple[str, str]]]] = {
    "halted": _halt,
    "breaker": _breaker,
    "bulkhead": _bulkhead,
    "fallback": _fallback,
    "isolation": _isolation,
    "load": _load,
}
