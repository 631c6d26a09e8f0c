"""Checks of the running platform: what the supervisor, the services and the engines say."""

from collections.abc import Iterator

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.errors import AitradingError
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.doctor.finding import Finding, fine, problem, unverified, wrong
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.state import ChildState, PlatformState


def check_running(home: Home) -> Iterator[Finding]:
    """What can be asked of a platform that is up."""
    if home.holder() is None:
        yield unverified("platform", "It does not run; engines and services were not examined.")
        return
    try:
        state = AdminClient(home).request("health", PlatformState)
    except AitradingError as exc:
        yield wrong("platform", exc)
        return
    yield fine("platform", f"The supervisor answers; up since {state.since}.")
    for sentence in state.problems:
        yield problem(
            "platform",
            sentence,
            cause="Parts see each other differently, or the api-gateway does not work.",
            remedy="Look again in some seconds; if it stays, read logs/api-gateway.log.",
        )
    for kind in (state.engines, state.services, state.clients):
        for name, child in kind.items():
            yield part_finding(name, child, home)


def part_finding(name: str, child: ChildState, home: Home) -> Finding:
    """What is to be said of one engine, service or client."""
    log = home.logs / f"{name}.log"
    if child.state is ComponentState.HEALTHY and not child.restarts:
        return fine(
            name, f"Works, probed over its own protocol; ready after {child.ready_after_s} s."
        )
    if child.state is ComponentState.HEALTHY:
        return problem(
            name,
            f"Works, but ended {_times(child.restarts)} since the platform started.",
            cause="Its log tells why it ended.",
            remedy=f"Read {log}.",
        )
    return problem(
        name,
        f"{child.state.value}: {child.message.partition(chr(10))[0] or 'it has not said why'}",
        cause="It ended, hangs, or something it needs does not work.",
        remedy=f"Read {log}; after repairing the cause: `aitrading down`, `aitrading up`.",
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
