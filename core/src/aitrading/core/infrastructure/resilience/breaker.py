"""A circuit breaker: stop calling what keeps failing, and probe before trusting it again.

CLOSED lets everything through and counts failures in a row. At the threshold it goes OPEN and
refuses at once. After `open_s` it is HALF_OPEN: a few probes may pass; all of them succeeding
closes it, one failing opens it again for another `open_s`.
"""

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from enum import StrEnum
from typing import ClassVar, TypeVar

from aitrading.core.infrastructure.resilience.errors import BREAKER_OPEN
from aitrading.core.infrastructure.resilience.faults import is_failure
from aitrading.core.infrastructure.resilience.registry import PartStatistics, unheard
from aitrading.core.kit.clock import NS_PER_S, Clock

T = TypeVar("T")


class BreakerState(StrEnum):
    """Where a breaker stands."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class BreakerStatistics(PartStatistics, frozen=True, kw_only=True):
    """What a breaker saw; `since_ns` is the wall time of the last change of state."""

    state: BreakerState
    failures_in_row: int
    succeeded: int
    failed: int
    refused: int
    opened: int
    since_ns: int
    retry_after_s: float
    last_error: str | None


class CircuitBreaker:
    """Guards one dependency. Not thread-safe: it belongs to one event loop.

    An outcome that arrives after the state changed belongs to the past and changes nothing;
    a cancelled call says nothing about the dependency.
    """

    kind: ClassVar[str] = "breaker"

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        failure_threshold: int = 5,
        open_s: float = 30.0,
        half_open_probes: int = 1,
        counts: Callable[[BaseException], bool] = is_failure,
    ) -> None:
        if failure_threshold < 1 or half_open_probes < 1 or open_s <= 0:
            raise ValueError("a breaker needs a threshold, an open time and a probe")
        self.name = name
        self.on_act = unheard
        self._clock = clock
        self._failure_threshold = failure_threshold
        self._open_ns = round(open_s * NS_PER_S)
        self._half_open_probes = half_open_probes
        self._counts = counts
        self._state = BreakerState.CLOSED
        self._generation = 0
        self._failures_in_row = 0
        self._probes_out = 0
        self._probes_succeeded = 0
        self._opened_at_ns = 0
        self._since_ns = clock.now_ns()
        self._succeeded = self._failed = self._refused = self._opened = 0
        self._last_error: str | None = None

    @property
    def state(self) -> BreakerState:
        """The state a call made now would meet."""
        if self._state is BreakerState.OPEN and self._rest_ns() == 0:
            return BreakerState.HALF_OPEN
        return self._state

    @property
    def is_spotless(self) -> bool:
        """Closed, with no failure in memory."""
        return self._state is BreakerState.CLOSED and self._failures_in_row == 0

    @property
    def is_acting(self) -> bool:
        """Whether a call made now would be refused; opening is the act."""
        return self.state is BreakerState.OPEN

    @property
    def opened(self) -> int:
        """How often it opened since the start of the process."""
        return self._opened

    async def run(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Call through the breaker; raises BREAKER_OPEN without calling when it is open."""
        with self.guard():
            return await operation()

    @contextmanager
    def guard(self) -> Generator[None]:
        """Count the body's outcome; raises BREAKER_OPEN before the body when it is open."""
        generation = self._admit()
        try:
            yield
        except Exception as exc:
            if self._counts(exc):
                self._on_failure(generation, exc)
            else:
                self._on_success(generation)
            raise
        except BaseException:
            self._on_no_outcome(generation)
            raise
        self._on_success(generation)

    def statistics(self) -> BreakerStatistics:
        """The state and counts since the start of the process."""
        return BreakerStatistics(
            state=self.state,
            failures_in_row=self._failures_in_row,
            succeeded=self._succeeded,
            failed=self._failed,
            refused=self._refused,
            opened=self._opened,
            since_ns=self._since_ns,
            retry_after_s=self._rest_ns() / NS_PER_S,
            last_error=self._last_error,
        )

    def _rest_ns(self) -> int:
        if self._state is not BreakerState.OPEN:
            return 0
        return max(0, self._opened_at_ns + self._open_ns - self._clock.monotonic_ns())

    def _admit(self) -> int:
        if self.state is BreakerState.HALF_OPEN and self._state is BreakerState.OPEN:
            self._enter(BreakerState.HALF_OPEN)
        if self._state is BreakerState.HALF_OPEN and self._probes_left():
            self._probes_out += 1
        elif self._state is not BreakerState.CLOSED:
            self._refused += 1
            raise BREAKER_OPEN.error(
                breaker=self.name,
                retry_after_s=round(self._rest_ns() / NS_PER_S, 3),
                failures=self._failures_in_row,
            )
        return self._generation

    def _probes_left(self) -> bool:
        return self._probes_out + self._probes_succeeded < self._half_open_probes

    def _on_success(self, generation: int) -> None:
        self._succeeded += 1
        if generation != self._generation:
            return
        if self._state is BreakerState.HALF_OPEN:
            self._probes_out -= 1
            self._probes_succeeded += 1
            if self._probes_succeeded < self._half_open_probes:
                return
            self._enter(BreakerState.CLOSED)
        self._failures_in_row = 0

    def _on_failure(self, generation: int, exc: Exception) -> None:
        self._failed += 1
        self._last_error = f"{type(exc).__name__}: {exc}"[:500]
        if generation != self._generation:
            return
        self._failures_in_row += 1
        probing = self._state is BreakerState.HALF_OPEN
        if probing or self._failures_in_row >= self._failure_threshold:
            self._opened += 1
            self._opened_at_ns = self._clock.monotonic_ns()
            self._enter(BreakerState.OPEN)
            self.on_act(exc)

    def _on_no_outcome(self, generation: int) -> None:
        if generation == self._generation and self._state is BreakerState.HALF_OPEN:
            self._probes_out -= 1

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._generation += 1
        self._probes_out = self._probes_succeeded = 0
        self._since_ns = self._clock.now_ns()
