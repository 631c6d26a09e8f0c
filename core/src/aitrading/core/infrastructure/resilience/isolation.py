"""Isolation: one bad sender is kept out for a while, and the others go on."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

from aitrading.core.infrastructure.resilience.breaker import BreakerState, CircuitBreaker
from aitrading.core.infrastructure.resilience.errors import ISOLATED
from aitrading.core.infrastructure.resilience.faults import is_failure
from aitrading.core.infrastructure.resilience.registry import PartStatistics
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError

T = TypeVar("T")
MAX_SUSPECTS: Final = 10_000
MAX_REPORTED: Final = 20


class IsolationStatistics(PartStatistics, frozen=True, kw_only=True):
    """Who is kept out now (the first few), and counts since the start of the process."""

    isolated: int
    isolated_keys: tuple[str, ...]
    suspects: int
    faults: int
    refused: int
    times_isolated: int
    forgotten: int


@dataclass
class _Suspect:
    breaker: CircuitBreaker
    running: int = 0

    @property
    def clean(self) -> bool:
        return self.running == 0 and self.breaker.is_spotless


class Isolation:
    """A breaker per key: `faults_limit` faults in a row isolate the key for `isolate_s`.

    Only keys that run now or have a fault in memory cost room; the longest silent one is
    forgotten at `MAX_SUSPECTS`. After the time one trial call passes: it releases the key or
    isolates it again.
    """

    kind: ClassVar[str] = "isolation"

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        faults_limit: int = 3,
        isolate_s: float = 60.0,
        counts: Callable[[BaseException], bool] = is_failure,
    ) -> None:
        self.name = name
        self._clock = clock
        self._faults_limit = faults_limit
        self._isolate_s = isolate_s
        self._counts = counts
        self._suspects: OrderedDict[str, _Suspect] = OrderedDict()
        self._faults = self._refused = self._times_isolated = self._forgotten = 0

    async def run(self, key: str, operation: Callable[[], Awaitable[T]]) -> T:
        """Run for the key; raises ISOLATED without running while the key is kept out."""
        with self.guard(key):
            return await operation()

    @contextmanager
    def guard(self, key: str) -> Generator[None]:
        """Count the body's fault against the key; raises ISOLATED as `run` does."""
        suspect = self._suspect(key)
        opened_before = suspect.breaker.opened
        entered = False
        suspect.running += 1
        try:
            with suspect.breaker.guard():
                entered = True
                yield
        except Exception as exc:
            if not entered:
                raise self._refusal(key, exc) from None
            self._faults += self._counts(exc)
            raise
        finally:
            suspect.running -= 1
            self._times_isolated += suspect.breaker.opened > opened_before
            if suspect.clean:
                self._suspects.pop(key, None)

    def is_isolated(self, key: str) -> bool:
        """Whether a call for the key would be refused now."""
        suspect = self._suspects.get(key)
        return suspect is not None and suspect.breaker.state is BreakerState.OPEN

    def keeps_any_out(self) -> bool:
        """Whether any key is isolated now."""
        return any(self.is_isolated(key) for key in self._suspects)

    @property
    def times_isolated(self) -> int:
        """How often any key was isolated since the start of the process."""
        return self._times_isolated

    def _suspect(self, key: str) -> _Suspect:
        suspect = self._suspects.get(key)
        if suspect is None:
            breaker = CircuitBreaker(
                key,
                clock=self._clock,
                failure_threshold=self._faults_limit,
                open_s=self._isolate_s,
                counts=self._counts,
            )
            suspect = self._suspects[key] = _Suspect(breaker)
        self._suspects.move_to_end(key)
        if len(self._suspects) > MAX_SUSPECTS:
            self._suspects.popitem(last=False)
            self._forgotten += 1
        return suspect

    def _refusal(self, key: str, exc: Exception) -> AitradingError:
        self._refused += 1
        fields = exc.fields if isinstance(exc, AitradingError) else {}
        return ISOLATED.error(
            key=key,
            isolation=self.name,
            retry_after_s=fields.get("retry_after_s"),
            faults=fields.get("failures"),
        )

    def statistics(self) -> IsolationStatistics:
        """Who is isolated now, and counts since the start of the process."""
        isolated = [key for key in self._suspects if self.is_isolated(key)]
        return IsolationStatistics(
            isolated=len(isolated),
            isolated_keys=tuple(isolated[:MAX_REPORTED]),
            suspects=len(self._suspects),
            faults=self._faults,
            refused=self._refused,
            times_isolated=self._times_isolated,
            forgotten=self._forgotten,
        )
