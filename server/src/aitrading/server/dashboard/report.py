"""What the page shows of the platform; `/api/v1/health` answers exactly this.

A line is never fresher than its `as_of`. A service that did not answer keeps what it said last
and is UNKNOWN, unless the supervisor knows better.
"""

import msgspec

UNKNOWN = "UNKNOWN"
ILL = frozenset({"FAILED", "DEGRADED"})


class PartLine(msgspec.Struct, frozen=True, kw_only=True):
    """One service, engine or client process."""

    name: str
    state: str
    detail: str = ""
    instance: str = ""
    version: str = ""
    port: int | None = None
    pid: int | None = None
    rss_mb: float | None = None
    restarts: int = 0
    as_of: str | None = None


class GuardLine(msgspec.Struct, frozen=True, kw_only=True):
    """One breaker, bulkhead or other guard of one service."""

    service: str
    kind: str
    name: str
    state: str
    detail: str = ""


class HopLine(msgspec.Struct, frozen=True, kw_only=True):
    """One hop of a chain in the last minute."""

    name: str
    service: str
    kind: str
    state: str
    reason: str
    count: int
    failed: int
    p50_ms: float | None
    p99_ms: float | None
    last_seen: str | None
    last_trace_id: str | None


class ChainLine(msgspec.Struct, frozen=True, kw_only=True):
    """One chain with its hops in the order of the data."""

    name: str
    description: str
    state: str
    since: str | None = None
    """When it was first seen in this state."""
    hops: tuple[HopLine, ...] = ()


def fault_of(chain: ChainLine) -> str:
    """Which hops of a chain are as ill as the whole, and why; nothing for one that is well."""
    if chain.state not in ILL:
        return ""
    return "; ".join(
        f"{hop.name} in {hop.service}: {hop.reason}"
        for hop in chain.hops
        if hop.state == chain.state
    )


class TradingLine(msgspec.Struct, frozen=True, kw_only=True):
    """Whether orders are accepted, and if not, why."""

    state: str
    reason: str


class PlatformReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole house at one moment."""

    now: str
    status: str
    """HEALTHY only while every service and engine is, and data takes every way it should."""
    trading: TradingLine
    services: tuple[PartLine, ...] = ()
    engines: tuple[PartLine, ...] = ()
    clients: tuple[PartLine, ...] = ()
    guards: tuple[GuardLine, ...] = ()
    chains: tuple[ChainLine, ...] = ()
    problems: tuple[str, ...] = ()
    """Sentences for a person: which chain failed, and what of this report is old or missing."""


class TerminalView(PlatformReport, frozen=True, kw_only=True):
    """The report as one logged-in user sees it."""

    tenant: str
    user: str
    audits: bool = False
    """May read security events (scope `audit`)."""
