"""Whether data takes every way it should: a service can be well while a way through it is not."""

from collections.abc import Iterator
from typing import Final

from aitrading.core.kit.errors import AitradingError
from aitrading.server.dashboard.report import ChainLine, PlatformReport, fault_of
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.doctor.finding import Finding, fine, problem, unverified, wrong
from aitrading.server.supervisor.errors import NOT_RUNNING
from aitrading.server.supervisor.home import Home

CHECK: Final = "chains"
FAILED: Final = "FAILED"
_PLATFORM: Final = "/internal/v1/admin/platform"


def check_chains(home: Home) -> Iterator[Finding]:
    """What the api-gateway of the running platform measured in the last minute."""
    if home.holder() is None:
        return
    try:
        report = AdminClient(home).request(
            "call", PlatformReport, peer="api-gateway", method="GET", path=_PLATFORM
        )
    except AitradingError as exc:
        not_asked = exc.spec is NOT_RUNNING
        yield unverified(CHECK, "Nobody was asked.") if not_asked else wrong(CHECK, exc)
        return
    yield from judge(report.chains)


def judge(chains: tuple[ChainLine, ...]) -> Iterator[Finding]:
    """A problem for each chain that failed, else one word about all of them."""
    failed = [chain for chain in chains if chain.state == FAILED]
    if not failed:
        yield fine(CHECK, f"None of {len(chains)} has failed.")
    for chain in failed:
        hops = ", ".join(hop.name for hop in chain.hops if hop.state == FAILED)
        since = f" since {chain.since}" if chain.since else ""
        yield problem(
            f"chain {chain.name}",
            f"Data does not take this way{since}: {hops or FAILED}.",
            cause=fault_of(chain) or "No hop says why.",
            remedy=f"Look at `aitrading chains show {chain.name}` and at the log of the service named.",
        )
