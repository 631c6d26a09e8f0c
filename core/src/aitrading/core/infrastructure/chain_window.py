"""The last minute of one hop."""

from dataclasses import dataclass, field
from typing import Final

from aitrading.core.infrastructure import latency
from aitrading.core.infrastructure.events import HopMeasured
from aitrading.core.kit.clock import NS_PER_S, Clock

WINDOW_S: Final = 60
SLOT_S: Final = 5
_SLOTS: Final = WINDOW_S // SLOT_S


@dataclass
class _Slot:
    number: int
    count: int = 0
    failed: int = 0
    buckets: latency.Buckets = field(default_factory=latency.Buckets)


class HopWindow:
    """Sums over `WINDOW_S`, forgotten slot by slot; not thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: list[_Slot] = []
        self._began_ns = 0
        self.last_seen_ns: int | None = None
        self.last_trace_id: str | None = None

    def add(self, measured: HopMeasured) -> None:
        """Count into the present slot."""
        if not self._live():
            self._began_ns = self._clock.monotonic_ns()
        slot = self._present()
        slot.count += measured.count
        slot.failed += measured.failed
        latency.add(slot.buckets, measured.latency_buckets)
        self.last_seen_ns = max(self.last_seen_ns or 0, measured.last_seen_ns)
        self.last_trace_id = measured.last_trace_id or self.last_trace_id

    def sums(self) -> HopMeasured:
        """Everything in the window."""
        live = self._live()
        buckets: latency.Buckets = {}
        for slot in live:
            latency.add(buckets, slot.buckets)
        return HopMeasured(
            hop="",
            count=sum(slot.count for slot in live),
            failed=sum(slot.failed for slot in live),
            latency_buckets=buckets,
            last_seen_ns=self.last_seen_ns or 0,
            last_trace_id=self.last_trace_id,
        )

    def busy_for_ns(self) -> int:
        """How long something has passed without a silence of a whole window; 0 when none does."""
        return self._clock.monotonic_ns() - self._began_ns if self._live() else 0

    def _live(self) -> list[_Slot]:
        oldest = self._slot_number() - _SLOTS
        return [slot for slot in self._slots if slot.number > oldest]

    def _present(self) -> _Slot:
        number = self._slot_number()
        if not self._slots or self._slots[-1].number != number:
            self._slots = [*self._slots[-_SLOTS + 1 :], _Slot(number)]
        return self._slots[-1]

    def _slot_number(self) -> int:
        return self._clock.monotonic_ns() // (SLOT_S * NS_PER_S)
