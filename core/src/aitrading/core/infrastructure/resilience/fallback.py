"""Answering with something lesser instead of nothing, and saying so."""

from collections.abc import Awaitable, Callable
from typing import ClassVar, Final, Generic, TypeVar

import msgspec

from aitrading.core.infrastructure.resilience.faults import is_failure
from aitrading.core.infrastructure.resilience.registry import PartStatistics, unheard
from aitrading.core.kit.clock import NS_PER_S, Clock

T = TypeVar("T")
QUIET_NS: Final = 60 * NS_PER_S
"""After this long without a question nobody lives on a substitute any more."""


class FallbackStatistics(PartStatistics, frozen=True, kw_only=True):
    """`active` tells that the last answer was a substitute, since `active_since_ns`.

    It ends with the next answer of the operation itself, or after a minute without questions.
    """

    active: bool
    active_since_ns: int | None
    primary: int
    substituted: int
    failed: int
    last_error: str | None


class Fallback:
    """Runs an operation, and its substitute when the operation fails.

    A refusal (category `denied`) is an answer and is not replaced.
    """

    kind: ClassVar[str] = "fallback"

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        replaces: Callable[[BaseException], bool] = is_failure,
    ) -> None:
        self.name = name
        self.on_act = unheard
        self._clock = clock
        self._replaces = replaces
        self._active_since_ns: int | None = None
        self._substituted_ns = 0
        self._primary = self._substituted = self._failed = 0
        self._last_error: str | None = None

    @property
    def active_since_ns(self) -> int | None:
        """When substitutes began, or None while the operation itself answers."""
        if self._clock.monotonic_ns() - self._substituted_ns > QUIET_NS:
            self._active_since_ns = None
        return self._active_since_ns

    @property
    def is_acting(self) -> bool:
        """Whether the last answer was a substitute; giving one is the act."""
        return self.active_since_ns is not None

    async def run(
        self,
        operation: Callable[[], Awaitable[T]],
        substitute: Callable[[Exception], Awaitable[T]],
    ) -> T:
        """Give the operation's value or the substitute's; the substitute's error if both fail."""
        try:
            value = await operation()
        except Exception as exc:
            if not self._replaces(exc):
                raise
            return await self._substitute(exc, substitute)
        self._primary += 1
        self._active_since_ns = None
        return value

    async def _substitute(
        self, exc: Exception, substitute: Callable[[Exception], Awaitable[T]]
    ) -> T:
        self._last_error = f"{type(exc).__name__}: {exc}"[:500]
        if self.active_since_ns is None:
            self._active_since_ns = self._clock.now_ns()
        self._substituted_ns = self._clock.monotonic_ns()
        try:
            value = await substitute(exc)
        except Exception as second:
            self._failed += 1
            raise second from exc
        self._substituted += 1
        self.on_act(exc)
        return value

    def statistics(self) -> FallbackStatistics:
        """Whether substitutes are in use, and counts since the start of the process."""
        return FallbackStatistics(
            active=self.is_acting,
            active_since_ns=self.active_since_ns,
            primary=self._primary,
            substituted=self._substituted,
            failed=self._failed,
            last_error=self._last_error,
        )


class Known(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A value and how fresh it is: `stale_since_ns` is None for a fresh one."""

    value: T
    known_at_ns: int
    stale_since_ns: int | None


class LastKnown(Generic[T]):
    """Remembers the last good answer and gives it, marked stale, while the source fails."""

    def __init__(self, fallback: Fallback, *, clock: Clock) -> None:
        self._fallback = fallback
        self._clock = clock
        self._value: Known[T] | None = None

    async def get(self, operation: Callable[[], Awaitable[T]]) -> Known[T]:
        """Ask the source; raises its error when nothing was ever known."""

        async def fresh() -> Known[T]:
            value = await operation()
            self._value = Known(value=value, known_at_ns=self._clock.now_ns(), stale_since_ns=None)
            return self._value

        return await self._fallback.run(fresh, self._stale)

    async def _stale(self, exc: Exception) -> Known[T]:
        if self._value is None:
            raise exc
        return msgspec.structs.replace(self._value, stale_since_ns=self._fallback.active_since_ns)
