"""From what is known to the platform report: pure, so every combination can be tested."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from aitrading.core.infrastructure.chain_registry import ChainHealth, HopHealth
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.resilience import Known
from aitrading.core.kit.clock import NS_PER_MS, rfc3339_of_ns
from aitrading.server.api_gateway.health.guards import MAX_LINES, guard_lines, worst_first
from aitrading.server.api_gateway.health.peer_report import (
    PeerReport,
    SupervisedPart,
    SupervisorReport,
)
from aitrading.server.dashboard.report import (
    UNKNOWN,
    ChainLine,
    HopLine,
    PartLine,
    PlatformReport,
    TradingLine,
    fault_of,
)

HEALTHY: Final = "HEALTHY"
FAILED: Final = "FAILED"
DEGRADED: Final = "DEGRADED"
HALTED: Final = "HALTED"
TRADING_COMPONENT: Final = "trading"
TRADING_ENGINE: Final = "trading-engine"
NO_ENGINE: Final = (
    "every order is refused with TRADING_NOT_AVAILABLE: this release has no order engine"
)
_DOWN: Final = frozenset({FAILED, "STOPPED", UNKNOWN})


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """Everything the gateway knows at one moment."""

    now_ns: int
    peers: Mapping[str, Known[PeerReport] | None]
    """By name of the service; None for one that never answered."""
    supervisor: Known[SupervisorReport] | None
    chains: tuple[ChainHealth, ...]
    registry_stale_since_ns: int | None


def build_report(known: Knowledge) -> PlatformReport:
    """Say it for people and programs, without making anything look fresher than it is."""
    services = tuple(_service(name, known) for name in sorted(_service_names(known)))
    engines = _supervised(known, "engines")
    answered = [peer for peer in known.peers.values() if peer is not None]
    guards = [line for peer in answered for line in guard_lines(peer.value)]
    return PlatformReport(
        now=rfc3339_of_ns(known.now_ns),
        status=_status([*services, *engines], known.chains),
        trading=_trading(known.peers.get(TRADING_ENGINE)),
        services=services,
        engines=engines,
        clients=_supervised(known, "clients"),
        guards=tuple(sorted(guards, key=worst_first)[:MAX_LINES]),
        chains=tuple(chain_line(chain) for chain in known.chains),
        problems=tuple(_problems(known)),
    )


def _service_names(known: Knowledge) -> set[str]:
    supervised = known.supervisor.value.services if known.supervisor else {}
    return {*known.peers, *supervised}


def _service(name: str, known: Knowledge) -> PartLine:
    process = known.supervisor.value.services.get(name) if known.supervisor else None
    peer = known.peers.get(name)
    if peer is None:
        return _part(name, process or SupervisedPart(state=UNKNOWN), as_of_ns=_written_ns(known))
    fresh = peer.stale_since_ns is None
    state, detail = peer.value.state, peer.value.detail()
    if not fresh:
        state = process.state if process and process.state != HEALTHY else UNKNOWN
        detail = (process.message if process else "") or "does not answer"
    return PartLine(
        name=name,
        state=state,
        detail=detail,
        instance=peer.value.instance,
        version=peer.value.version,
        port=process.port if process else None,
        pid=process.pid if process else None,
        rss_mb=process.rss_mb if process else None,
        restarts=process.restarts if process else 0,
        as_of=rfc3339_of_ns(peer.known_at_ns),
    )


def _supervised(known: Knowledge, kind: str) -> tuple[PartLine, ...]:
    if known.supervisor is None:
        return ()
    parts: Mapping[str, SupervisedPart] = getattr(known.supervisor.value, kind)
    written_ns = known.supervisor.known_at_ns
    return tuple(
        # Its memory was just measured: the process is there now.
        _part(name, part, as_of_ns=written_ns if part.rss_mb is None else known.now_ns)
        for name, part in sorted(parts.items())
    )


def _part(name: str, part: SupervisedPart, *, as_of_ns: int | None) -> PartLine:
    return PartLine(
        name=name,
        state=part.state,
        detail=part.message,
        port=part.port,
        pid=part.pid,
        rss_mb=part.rss_mb,
        restarts=part.restarts,
        as_of=rfc3339_of_ns(as_of_ns) if as_of_ns is not None else None,
    )


def _written_ns(known: Knowledge) -> int | None:
    return known.supervisor.known_at_ns if known.supervisor else None


def _status(parts: list[PartLine], chains: Iterable[ChainHealth]) -> str:
    """A way that data does not take is no part's fault for certain: the whole is DEGRADED."""
    states = {part.state for part in parts}
    if states & _DOWN:
        return FAILED
    is_well = states <= {HEALTHY} and not any(map(_is_failed, chains))
    return HEALTHY if is_well else DEGRADED


def _is_failed(chain: ChainHealth) -> bool:
    return chain.state is ComponentState.FAILED


def _trading(engine: Known[PeerReport] | None) -> TradingLine:
    """HALTED unless the engine itself says otherwise, now."""
    component = engine.value.components.get(TRADING_COMPONENT) if engine else None
    if engine is None or engine.stale_since_ns is not None:
        return TradingLine(state=HALTED, reason="the trading engine does not answer")
    if component is None:
        return TradingLine(state=HALTED, reason=NO_ENGINE)
    if component.fields.get("trading") == "ENABLED":
        return TradingLine(state="ENABLED", reason="")
    return TradingLine(state=HALTED, reason=component.detail or NO_ENGINE)


def chain_line(chain: ChainHealth) -> ChainLine:
    """One chain for people and programs."""
    return ChainLine(
        name=chain.name,
        description=chain.description,
        state=chain.state.value,
        since=rfc3339_of_ns(chain.since_ns),
        hops=tuple(_hop(hop) for hop in chain.hops),
    )


def _hop(hop: HopHealth) -> HopLine:
    measured = hop.count > hop.failed
    return HopLine(
        name=hop.name,
        service=hop.service,
        kind=hop.kind.value,
        state=hop.state.value,
        reason=hop.reason,
        count=hop.count,
        failed=hop.failed,
        p50_ms=_ms(hop.p50_ns) if measured else None,
        p99_ms=_ms(hop.p99_ns) if measured else None,
        last_seen=rfc3339_of_ns(hop.last_seen_ns) if hop.last_seen_ns is not None else None,
        last_trace_id=hop.last_trace_id,
    )


def _ms(latency_ns: int) -> float:
    return round(latency_ns / NS_PER_MS, 3)


def _problems(known: Knowledge) -> list[str]:
    problems = [_failure(chain) for chain in known.chains if _is_failed(chain)]
    if known.supervisor is None:
        problems.append("No supervisor is running here: engines and processes are not known.")
    if known.registry_stale_since_ns is not None:
        since = _clock(known.registry_stale_since_ns)
        problems.append(f"The registry of services has not answered since {since}.")
    for name, peer in sorted(known.peers.items()):
        if peer is None:
            problems.append(f"{name} has not answered yet.")
        elif peer.stale_since_ns is not None:
            since = _clock(peer.stale_since_ns)
            problems.append(f"{name} has not answered since {since}; shown is what it said last.")
    return problems


def _failure(chain: ChainHealth) -> str:
    fault = fault_of(chain_line(chain))
    return f"Chain {chain.name} FAILED since {_clock(chain.since_ns)}: {fault}."


def _clock(moment_ns: int) -> str:
    return f"{rfc3339_of_ns(moment_ns)[11:19]} UTC"
