"""Whether the edge has room for another connection: who is turned away there leaves no record."""

import re
from collections.abc import Iterator
from typing import Final

from aitrading.server.engines.envoy import EnvoyStats
from aitrading.server.policy import EdgeLimits, edge_policy
from aitrading.server.supervisor.doctor.finding import Finding, fine, problem, unverified
from aitrading.server.supervisor.home import Home

CHECK: Final = "edge connections"
NEARLY_FULL: Final = 0.9
_SAMPLE: Final = re.compile(
    r'^envoy_connection_limit_(active|limited)_connections\{.*_prefix="(\w+)"\} (\d+)$',
    re.MULTILINE,
)


def check_edge(home: Home) -> Iterator[Finding]:
    """What Envoy counts, for each of its chains apart."""
    if home.holder() is None:
        return
    stats = EnvoyStats(home.run).text()
    if stats is None:
        yield unverified(CHECK, "Envoy does not tell its numbers.")
        return
    yield from judge(stats.decode(), edge_policy().limits)


def judge(stats: str, limits: EdgeLimits) -> Iterator[Finding]:
    """A problem for each chain that is nearly full, else one word about all."""
    counted = {(chain, what): int(number) for what, chain, number in _SAMPLE.findall(stats)}
    most = {
        "public": limits.max_public_connections,
        "site": limits.max_public_connections,
        "own": limits.max_own_connections,
        "link": limits.max_link_connections,
    }
    full = [one for one in most if counted.get((one, "active"), 0) >= NEARLY_FULL * most[one]]
    turned_away = sum(counted.get((one, "limited"), 0) for one in most)
    if not full:
        told = f"; {turned_away} were turned away since it started" if turned_away else ""
        yield fine(CHECK, f"There is room for more{told}.")
    for one in full:
        yield problem(
            f"{CHECK} ({one})",
            f"{counted[one, 'active']} of {most[one]} are taken; who comes when all are is turned away.",
            cause="Very many customers, or somebody who opens connections and asks nothing.",
            remedy="Count them by address with `ss -Htn state established`, and limit addresses before "
            "the edge: docs/how-to/edge.md. Commands on this host, the kill switch too, need no "
            "connection to the edge.",
        )
