"""How long work waits in this process, and what of the limits is left therefore.

Two waits are measured, and the longer one counts. *The loop's delay*: how late the process comes to
what is due, be it that others have the processor or that too much was asked of this one; it is what
each request waits before anybody looks at it. *The stores' queue*: how long transactions waited for
a connection. Neither needs a guess about how much a request costs, and neither knows or tells who
asked; who did decides whose limits shrink first. Processor time is none of them: a machine that works at full capacity and answers at once is
no reason to refuse anybody.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.infrastructure.resilience.registry import PartStatistics
from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S, Clock
from aitrading.core.kit.ids import TenantId
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.kit.load_demand import LoadDemand
from aitrading.server.kit.load_governor import WHOLE, LoadGovernor
from aitrading.server.policy import LoadPolicy, limits_policy

BEAT_S: Final = 0.1
LOAD_KIND: Final = "load"
LOAD_WAIT: Final = Metric(
    name="aitrading_load_wait_s",
    kind=MetricKind.GAUGE,
    help="How long work waited in the last second: for the process itself (`loop`), and for a "
    "connection to a store (`stores`).",
    labels=("where",),
)
LIMIT_SHARE: Final = Metric(
    name="aitrading_limit_share",
    kind=MetricKind.GAUGE,
    help="How much of the limits of a kind there is now for whoever asks for most, from its floor "
    "to 1.",
    labels=("kind",),
)

_log = get_logger(__name__)


class LoadStatistics(PartStatistics, frozen=True, kw_only=True):
    """For health."""

    step: int
    percent: int
    """Of the limits of `general` requests, for whoever asks for most."""
    wait_ms: float
    since_ns: int | None
    """Of the present overload."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One time of overload, from the first step to the last; `ended_ns` is None while it lasts."""

    began_ns: int
    wait_ms: float
    """The longest."""
    percent: int
    """The least that was left of `general` limits."""
    ended_ns: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether limits are whole again."""
        return self.ended_ns is not None


class StoreWaits:
    """Takes how long transactions waited for a connection since it was last asked."""

    __slots__ = ("_number", "_sum_s")

    def __init__(self) -> None:
        self._number, self._sum_s = 0, 0.0

    def note(self, wait_s: float) -> None:
        """One of them had its connection, or gave up."""
        self._number += 1
        self._sum_s += wait_s

    def take_mean_s(self) -> float:
        """The mean since the last question."""
        mean_s = self._sum_s / self._number if self._number else 0.0
        self._number, self._sum_s = 0, 0.0
        return mean_s


class LoadMeter(LoopingComponent):
    """Measures every tenth of a second and judges once a second."""

    kind: ClassVar[str] = LOAD_KIND
    critical: ClassVar[bool] = False

    def __init__(
        self,
        stores: StoreWaits,
        *,
        metrics: Metrics,
        clock: Clock,
        policy: LoadPolicy | None = None,
    ) -> None:
        super().__init__("load", on_error=self._failed)
        self._policy = policy or limits_policy().load
        self._governor = LoadGovernor(self._policy)
        self._demand = LoadDemand()
        self._loud: frozenset[TenantId] = frozenset()
        self._version = 0
        self._stores = stores
        self._metrics = metrics
        self._clock = clock
        self._wait_ms = 0.0
        self.episode: Episode | None = None
        """The present one, or the last."""

    @property
    def step(self) -> int:
        """Of those who ask for most; 0 while limits are whole."""
        return self._governor.step

    @property
    def version(self) -> int:
        """Changes whenever anybody's share does."""
        return self._version

    def note(self, tenant: TenantId, kind: str, per_minute: int) -> None:
        """An organisation asked, whose whole limit this is; of a kind that never shrinks it may."""
        if self._policy.floors.get(kind, WHOLE) < WHOLE:
            self._demand.note(tenant, per_minute)

    def share(self, kind: str, tenant: TenantId | None = None) -> int:
        """How much of a limit of this kind there is now, in per cent.

        What belongs to no organisation shrinks with those who ask for most.
        """
        is_quiet = tenant is not None and tenant not in self._loud
        return self._governor.share(kind, is_quiet=is_quiet)

    def statistics(self) -> LoadStatistics:
        """For health."""
        present = self.episode if self.step else None
        return LoadStatistics(
            step=self.step,
            percent=self.share("general"),
            wait_ms=round(self._wait_ms, 1),
            since_ns=present.began_ns if present else None,
        )

    @override
    async def start(self) -> None:
        self._tell()
        self._tasks.keep(self._measure, name="measure", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def _measure(self) -> None:
        """Judge each second by the mean of its beats: one long task is no overload."""
        while True:
            began_ns = before_ns = self._clock.monotonic_ns()
            late_ns = beats = 0
            while before_ns - began_ns < NS_PER_S:
                await self._clock.sleep(BEAT_S)
                now_ns = self._clock.monotonic_ns()
                late_ns += max(0, now_ns - before_ns - round(BEAT_S * NS_PER_S))
                before_ns = now_ns
                beats += 1
            self.judge(late_ns / beats / NS_PER_S, self._stores.take_mean_s())

    def judge(self, loop_s: float, stores_s: float) -> None:
        """Take one second's waits."""
        self._metrics.set(LOAD_WAIT, loop_s, where="loop")
        self._metrics.set(LOAD_WAIT, stores_s, where="stores")
        before, shares = self.step, self._shares()
        self._wait_ms = max(loop_s, stores_s) * NS_PER_S / NS_PER_MS
        self._governor.observe(self._wait_ms)
        self._loud = self._demand.loud() if self.step else frozenset()
        self._demand.fade()
        self._version += self._shares() != shares
        if before or self.step:
            self._keep_episode(is_new=not before)
        if self.step != before:
            self._tell()

    def _shares(self) -> tuple[int, int, frozenset[TenantId]]:
        return self._governor.step, self._governor.quiet_step, self._loud

    def _keep_episode(self, *, is_new: bool) -> None:
        now_ns, percent, wait_ms = self._clock.now_ns(), self.share("general"), self._wait_ms
        known = None if is_new else self.episode
        if known is None:
            self.episode = Episode(began_ns=now_ns, wait_ms=wait_ms, percent=percent)
            _log.warning("overloaded: limits shrink", wait_ms=round(wait_ms), percent=percent)
            return
        self.episode = Episode(
            began_ns=known.began_ns,
            wait_ms=max(known.wait_ms, wait_ms),
            percent=min(known.percent, percent),
            ended_ns=None if self.step else now_ns,
        )
        if not self.step:
            _log.info("no longer overloaded: limits are whole", percent=WHOLE)

    def _tell(self) -> None:
        for kind in self._policy.floors:
            self._metrics.set(LIMIT_SHARE, self.share(kind) / WHOLE, kind=kind)

    def _failed(self, exc: Exception) -> None:
        _log.error("load is no longer measured", exc_info=exc)
        self._governor.step = self._governor.quiet_step = 0
        self._version += 1
        self._tell()
