"""Whether data takes every way it should: a service can be well while a way through it is not."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from aitrading.core.kit.errors import AitradingError
from aitrading.server.dashboard.report import ChainLine, PlatformReport
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.doctor.finding import Finding, fine, problem, unverified, wrong
from aitrading.server.supervisor.errors import NOT_RUNNING
from aitrading.server.supervisor.home import Home

CHECK: Final = "chains"
FAILED: Final = "FAILED"
PATIENCE_S: Final = 30
"""Where data begins to flow, the last hops have seen none of it for a while: this long it may take."""
_PLATFORM: Final = "/internal/v1/admin/platform"


def check_chains(home: Home) -> Iterator[Finding]:
    """What the api-gateway of the running platform measured in the last minute."""
    if home.holder() is None:
        return

    def measured() -> tuple[ChainLine, ...]:
        return (
            AdminClient(home)
            .request("call", PlatformReport, peer="api-gateway", method="GET", path=_PLATFORM)
            .chains
        )

    try:
        chains = lasting(measured, pause=lambda: time.sleep(1))
    except AitradingError as exc:
        not_asked = exc.spec is NOT_RUNNING
        yield unverified(CHECK, "Nobody was asked.") if not_asked else wrong(CHECK, exc)
        return
    yield from judge(chains)


def lasting(
    measured: Callable[[], tuple[ChainLine, ...]], *, pause: Callable[[], None]
) -> tuple[ChainLine, ...]:
    """How the chains are; while one has failed they are asked again, for `PATIENCE_S` pauses."""
    chains = measured()
    for _ in range(PATIENCE_S):
        if all(chain.state != FAILED for chain in chains):
            break
        pause()
        chains = measured()
    return chains


def judge(chains: tuple[ChainLine, ...]) -> Iterator[Finding]:
    """A problem for each chain that failed, else one word about all of them."""
    failed = [chain for chain in chains if chain.state == FAILED]
    if not failed:
        yield fine(CHECK, f"None of {len(chains)} has failed.")
    for chain in failed:
        hops = [hop for hop in chain.hops if hop.state == FAILED]
        yield problem(
            f"chain {chain.name}",
            "Data does not take this way: "
            + (", ".join(hop.name for hop in hops) or FAILED)
            + ".",
            cause="; ".join(f"{hop.name} in {hop.service}: {hop.reason}" for hop in hops)
            or "No hop says why.",
            remedy=f"Look at `aitrading chains show {chain.name}` and at the log of the service named.",
        )
