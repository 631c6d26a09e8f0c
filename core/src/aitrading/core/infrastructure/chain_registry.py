"""Chains: the ways data takes through the platform, hop by hop, with latency and health.

Each process records the hops it sees; `drain` gives what happened since the last call so that it
can be published, `merge` adds what others published. The window is `WINDOW_S` long.
"""

import threading
from enum import StrEnum
from typing import Final

import msgspec

from aitrading.core.infrastructure import latency
from aitrading.core.infrastructure.chain_window import HopWindow
from aitrading.core.infrastructure.config_layers import suggestion
from aitrading.core.infrastructure.error_codes import (
    CHAIN_HOP_UNKNOWN,
    CHAIN_REDEFINED,
    CHAIN_UNKNOWN,
)
from aitrading.core.infrastructure.events import ChainMeasured, HopMeasured
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S, Clock

FAILED_SHARE: Final = 0.5
DEGRADED_SHARE: Final = 0.01
PATIENCE_S: Final = 30
"""Data that begins to flow has this long to come to the last hop; until then a hop is STARTING."""


class HopKind(StrEnum):
    """What carries the data over a hop."""

    CALL = "call"
    LINK = "link"
    DISK = "disk"
    HTTP = "http"
    DATABASE = "database"
    FAN_OUT = "fan-out"


class Hop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a chain.

    `service` does the step and is to blame for it, `budget_ms` is the latency that 99 of 100 may
    take, and an optional hop may be silent while the others are busy. `needs` names engines and
    services without which the step fails; `after` the hops whose data it takes, None for the one
    before it.
    """

    name: str
    service: str
    kind: HopKind
    budget_ms: float | None = None
    optional: bool = False
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] | None = None


class ChainDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A chain; its hops in the order of the data."""

    name: str
    description: str
    hops: tuple[Hop, ...]


class HopHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A hop in the last window; NEW was never seen, STOPPED is silent now.

    STARTING is silent too, and data began to come before it a moment ago.
    """

    name: str
    service: str
    kind: HopKind
    state: ComponentState
    reason: str
    count: int
    failed: int
    p50_ns: int
    p99_ns: int
    last_seen_ns: int | None
    last_trace_id: str | None


class ChainHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A chain: as healthy as its worst hop that must work.

    `since_ns` is when it was first seen in this state.
    """

    name: str
    description: str
    state: ComponentState
    since_ns: int
    hops: tuple[HopHealth, ...]


class ChainImpact(msgspec.Struct, frozen=True, kw_only=True):
    """What of a chain is lost without a service: its own hops, and those that starve after."""

    chain: str
    broken: tuple[str, ...]
    starved: tuple[str, ...]


class ChainRegistry:
    """The chains of this process and what is known about them; safe from any thread."""

    def __init__(self, *, clock: Clock, service: str, instance: str) -> None:
        self._clock = clock
        self._service = service
        self._instance = instance
        self._lock = threading.Lock()
        self._chains: dict[str, ChainDefinition] = {}
        self._windows: dict[tuple[str, str], HopWindow] = {}
        self._fresh: dict[tuple[str, str], HopMeasured] = {}
        self._since: dict[str, tuple[ComponentState, int]] = {}

    def define(self, *chains: ChainDefinition) -> None:
        """Add chains; defining the same again is harmless, another one of that name is not."""
        with self._lock:
            for chain in chains:
                if self._chains.setdefault(chain.name, chain) != chain:
                    raise CHAIN_REDEFINED.error(chain=chain.name)
                for hop in chain.hops:
                    self._windows.setdefault((chain.name, hop.name), HopWindow(self._clock))

    def record(
        self,
        chain: str,
        hop: str,
        latency_ns: int,
        *,
        ok: bool = True,
        trace_id: str | None = None,
        count: int = 1,
    ) -> None:
        """Note that something passed a hop, or failed to; `count` of them took equally long."""
        measured = HopMeasured(
            hop=hop,
            count=count,
            failed=0 if ok else count,
            latency_buckets={latency.bucket_of(latency_ns): count} if ok else {},
            last_seen_ns=self._clock.now_ns(),
            last_trace_id=trace_id,
        )
        with self._lock:
            self._window(chain, hop).add(measured)
            fresh = self._fresh.get((chain, hop))
            self._fresh[chain, hop] = measured if fresh is None else _sum(fresh, measured)

    def drain(self) -> list[ChainMeasured]:
        """What this process recorded since the last call, one event per chain."""
        with self._lock:
            fresh, self._fresh = self._fresh, {}
        by_chain: dict[str, list[HopMeasured]] = {}
        for (chain, _), measured in fresh.items():
            by_chain.setdefault(chain, []).append(measured)
        return [
            ChainMeasured(
                chain=chain, service=self._service, instance=self._instance, hops=tuple(hops)
            )
            for chain, hops in by_chain.items()
        ]

    def merge(self, event: ChainMeasured) -> None:
        """Add what another process measured; our own event and unknown hops are passed over."""
        if (event.service, event.instance) == (self._service, self._instance):
            return
        with self._lock:
            for measured in event.hops:
                window = self._windows.get((event.chain, measured.hop))
                if window is not None:
                    window.add(measured)

    def definitions(self) -> list[ChainDefinition]:
        """All chains by name."""
        with self._lock:
            return [self._chains[name] for name in sorted(self._chains)]

    def health(self, chain: str) -> ChainHealth:
        """Latency and state of each hop in the window; raises `CHAIN_UNKNOWN`."""
        with self._lock:
            definition = self._definition(chain)
            hops: list[HopHealth] = []
            flowing_ns: list[int] = []
            for hop in definition.hops:
                health = self._hop_health(chain, hop, min(flowing_ns, default=None))
                hops.append(health)
                if health.count:
                    flowing_ns.append(self._windows[chain, hop.name].busy_for_ns())
            must_work = {
                health.state
                for hop, health in zip(definition.hops, hops, strict=True)
                if not (hop.optional and not health.count)
            }
            state = next((s for s in _WORST_FIRST if s in must_work), ComponentState.NEW)
            known, since_ns = self._since.get(chain, (None, 0))
            if state is not known:
                since_ns = self._clock.now_ns()
            self._since[chain] = state, since_ns
        return ChainHealth(
            name=chain,
            description=definition.description,
            state=state,
            since_ns=since_ns,
            hops=tuple(hops),
        )

    def impact(self, service: str) -> list[ChainImpact]:
        """What every chain loses when a service or engine is gone; others are left out."""
        impacts: list[ChainImpact] = []
        for chain in self.definitions():
            broken = tuple(hop.name for hop in chain.hops if service in (hop.service, *hop.needs))
            if broken:
                starved = _starved(chain, broken)
                impacts.append(ChainImpact(chain=chain.name, broken=broken, starved=starved))
        return impacts

    def _hop_health(self, chain: str, hop: Hop, flows_for_ns: int | None) -> HopHealth:
        window = self._windows[chain, hop.name]
        sums = window.sums()
        p99_ns = latency.quantile(sums.latency_buckets, 0.99)
        if sums.count:
            state, reason = _judge_busy(hop, sums, p99_ns)
        else:
            state, reason = _judge_silent(hop, window.last_seen_ns, flows_for_ns)
        return HopHealth(
            name=hop.name,
            service=hop.service,
            kind=hop.kind,
            state=state,
            reason=reason,
            count=sums.count,
            failed=sums.failed,
            p50_ns=latency.quantile(sums.latency_buckets, 0.5),
            p99_ns=p99_ns,
            last_seen_ns=window.last_seen_ns,
            last_trace_id=window.last_trace_id,
        )

    def _definition(self, chain: str) -> ChainDefinition:
        try:
            return self._chains[chain]
        except KeyError:
            hint = suggestion(chain, self._chains)
            raise CHAIN_UNKNOWN.error(chain=chain, suggestion=hint) from None

    def _window(self, chain: str, hop: str) -> HopWindow:
        try:
            return self._windows[chain, hop]
        except KeyError:
            known = (other.name for other in self._definition(chain).hops)
            hint = suggestion(hop, known)
            raise CHAIN_HOP_UNKNOWN.error(chain=chain, hop=hop, suggestion=hint) from None


def feeders_of(chain: ChainDefinition, at: int) -> tuple[str, ...]:
    """The hops whose data the hop at this place takes."""
    hop = chain.hops[at]
    if hop.after is not None:
        return hop.after
    return (chain.hops[at - 1].name,) if at else ()


def _starved(chain: ChainDefinition, broken: tuple[str, ...]) -> tuple[str, ...]:
    """Hops that work and get nothing, because a hop before them is lost."""
    lost = set(broken)
    while True:
        more = {
            hop.name
            for at, hop in enumerate(chain.hops)
            if hop.name not in lost and lost.intersection(feeders_of(chain, at))
        }
        if not more:
            return tuple(h.name for h in chain.hops if h.name in lost and h.name not in broken)
        lost |= more


_WORST_FIRST: Final = (
    ComponentState.FAILED,
    ComponentState.DEGRADED,
    ComponentState.STARTING,
    ComponentState.HEALTHY,
    ComponentState.STOPPED,
)


def _judge_silent(
    hop: Hop, last_seen_ns: int | None, flows_for_ns: int | None
) -> tuple[ComponentState, str]:
    """What a silent hop is, beside what came before it without a break for so long, if it does."""
    if flows_for_ns is not None and not hop.optional:
        if flows_for_ns < PATIENCE_S * NS_PER_S:
            return ComponentState.STARTING, "data has just begun to come before this hop"
        return ComponentState.FAILED, "data arrives before this hop and does not pass it"
    if last_seen_ns is None:
        return ComponentState.NEW, "nothing has passed yet"
    return ComponentState.STOPPED, "nothing passes now"


def _judge_busy(hop: Hop, sums: HopMeasured, p99_ns: int) -> tuple[ComponentState, str]:
    share = sums.failed / sums.count
    if share >= FAILED_SHARE:
        return ComponentState.FAILED, f"{share:.0%} of {sums.count} failed"
    if share > DEGRADED_SHARE:
        return ComponentState.DEGRADED, f"{share:.1%} of {sums.count} failed"
    if hop.budget_ms is not None and p99_ns > hop.budget_ms * NS_PER_MS:
        return ComponentState.DEGRADED, f"p99 is over the budget of {hop.budget_ms:g} ms"
    return ComponentState.HEALTHY, ""


def _sum(first: HopMeasured, second: HopMeasured) -> HopMeasured:
    buckets = dict(first.latency_buckets)
    latency.add(buckets, second.latency_buckets)
    return HopMeasured(
        hop=first.hop,
        count=first.count + second.count,
        failed=first.failed + second.failed,
        latency_buckets=buckets,
        last_seen_ns=max(first.last_seen_ns, second.last_seen_ns),
        last_trace_id=second.last_trace_id or first.last_trace_id,
    )
