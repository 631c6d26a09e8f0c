"""Trying again, with exponential backoff and full jitter."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

from aitrading.core.infrastructure.resilience.errors import RETRIES_EXHAUSTED
from aitrading.core.infrastructure.resilience.faults import is_retryable
from aitrading.core.infrastructure.resilience.registry import PartStatistics
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.randomness import Randomness

T = TypeVar("T")
MAX_DOUBLINGS: Final = 30


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When to try again; `attempts=None` means until cancelled.

    The wait after the n-th failure is drawn from [0, min(max_s, first_s * 2**(n-1))], so that
    many clients which failed together do not come back together.
    """

    first_s: float = 1.0
    max_s: float = 30.0
    attempts: int | None = 5
    retryable: Callable[[BaseException], bool] = is_retryable

    def ceiling_s(self, failures: int) -> float:
        """The longest wait after that many failures (1 = the first)."""
        return min(self.max_s, self.first_s * 2 ** min(failures - 1, MAX_DOUBLINGS))

    def delay_s(self, failures: int, randomness: Randomness) -> float:
        """The wait itself."""
        return randomness.uniform(0.0, self.ceiling_s(failures))

    def allows_another(self, failures: int, exc: BaseException) -> bool:
        """Whether a further attempt is worth it after that many failures."""
        return self.retryable(exc) and (self.attempts is None or failures < self.attempts)


class RetryStatistics(PartStatistics, frozen=True, kw_only=True):
    """What a retry did so far; `waiting` operations sit between two attempts now."""

    attempts: int
    succeeded: int
    recovered: int
    exhausted: int
    refused: int
    waiting: int


class Retry:
    """Runs operations under one policy and counts.

    `recovered` counts successes that needed more than one attempt, `refused` errors that are not
    worth a repeat: those pass through unchanged.
    """

    kind: ClassVar[str] = "retry"

    def __init__(
        self, name: str, policy: RetryPolicy, *, clock: Clock, randomness: Randomness
    ) -> None:
        self.name = name
        self.policy = policy
        self._clock = clock
        self._randomness = randomness
        self._attempts = self._succeeded = self._recovered = 0
        self._exhausted = self._refused = self._waiting = 0

    async def run(
        self,
        operation: Callable[[], Awaitable[T]],
        *,
        on_failure: Callable[[Exception], None] | None = None,
    ) -> T:
        """Give the first success.

        Raises RETRIES_EXHAUSTED from the last error when the attempts are used up, and any error
        the policy calls not retryable as it is. `on_failure` sees every failed attempt.
        """
        failures = 0
        while True:
            self._attempts += 1
            try:
                value = await operation()
            except Exception as exc:  # noqa: BLE001 - the policy decides, the rest is raised again
                failures += 1
                if on_failure is not None:
                    on_failure(exc)
                await self._wait_or_give_up(failures, exc)
            else:
                self._succeeded += 1
                self._recovered += failures > 0
                return value

    async def _wait_or_give_up(self, failures: int, exc: Exception) -> None:
        if not self.policy.allows_another(failures, exc):
            if not self.policy.retryable(exc):
                self._refused += 1
                raise exc
            self._exhausted += 1
            raise RETRIES_EXHAUSTED.error(retry=self.name, attempts=failures) from exc
        self._waiting += 1
        try:
            await self._clock.sleep(self.policy.delay_s(failures, self._randomness))
        finally:
            self._waiting -= 1

    def statistics(self) -> RetryStatistics:
        """Counts since the start of the process."""
        return RetryStatistics(
            attempts=self._attempts,
            succeeded=self._succeeded,
            recovered=self._recovered,
            exhausted=self._exhausted,
            refused=self._refused,
            waiting=self._waiting,
        )
