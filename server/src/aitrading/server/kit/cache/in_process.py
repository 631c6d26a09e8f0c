"""The cache inside one process, for an installation without one; ends with the process.

It keeps the promises of the served one as long as the service has a single instance, which is
what such an installation is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from typing_extensions import override

from aitrading.core.kit.clock import NS_PER_MS, Clock
from aitrading.core.security.rate_limiter import Granted, RateLimit, Wanted, grant
from aitrading.server.kit.cache.backend import CacheBackend
from aitrading.server.kit.cache.types import Scored, Spent

NS_PER_US: Final = 1_000
US_PER_MS: Final = 1_000
ENTRIES_MAX: Final = 100_000
"""Beyond it the entry that would end soonest goes; entries without an end never go."""
T = TypeVar("T")


@dataclass
class _Entry:
    value: object
    ends_ns: int | None


class InProcessCache(CacheBackend):
    """Nothing here waits, so every operation is atomic."""

    def __init__(self, clock: Clock, *, entries_max: int = ENTRIES_MAX) -> None:
        self._clock = clock
        self._entries_max = entries_max
        self._entries: dict[str, _Entry] = {}

    @override
    async def get(self, key: str) -> bytes | None:
        return self._value(key, bytes)

    @override
    async def put(self, key: str, value: bytes, life_ms: int, *, absent: bool) -> bool:
        if absent and self._entry(key) is not None:
            return False
        self._keep(key, value, life_ms)
        return True

    @override
    async def delete(self, key: str) -> bool:
        existed = self._entry(key) is not None
        self._entries.pop(key, None)
        return existed

    @override
    async def life_ms(self, key: str) -> int | None:
        entry = self._entry(key)
        return None if entry is None else self._left_ms(entry)

    @override
    async def spend(self, key: str, amount: int, *, limit: int, window_ms: int) -> Spent:
        entry = self._entry(key)
        total = self._value(key, int) or 0
        left_ms = 0 if entry is None else self._left_ms(entry)
        if total + amount > limit:
            return Spent(accepted=False, total=total, resets_in_s=left_ms / 1_000)
        left_ms = left_ms if entry is not None else window_ms
        if entry is None:
            self._keep(key, total + amount, window_ms)
        else:
            entry.value = total + amount
        return Spent(accepted=True, total=total + amount, resets_in_s=left_ms / 1_000)

    @override
    async def grant(self, wanted: Mapping[str, tuple[RateLimit, int]]) -> Granted:
        now_us = self._clock.monotonic_ns() // NS_PER_US
        levels = [
            Wanted(paid_us=self._value(key, int), limit=limit, number=number)
            for key, (limit, number) in wanted.items()
        ]
        granted, paid = grant(levels, now_us)
        if granted.refused_by is None:
            for key, paid_us in zip(wanted, paid, strict=True):
                self._keep(key, paid_us, -(-(paid_us - now_us) // US_PER_MS))
        return granted

    @override
    async def acquire(self, lock: str, fence: str, owner: str, life_ms: int, floor: int) -> int:
        if self._entry(lock) is not None:
            return 0
        number = max((self._value(fence, int) or 0) + 1, floor)
        self._keep(fence, number, None)
        self._keep(lock, owner, life_ms)
        return number

    @override
    async def renew(self, lock: str, owner: str, life_ms: int) -> bool:
        if self._value(lock, str) != owner:
            return False
        self._keep(lock, owner, life_ms)
        return True

    @override
    async def release(self, lock: str, owner: str) -> bool:
        return self._value(lock, str) == owner and await self.delete(lock)

    @override
    async def put_fenced(
        self, key: str, mark: str, value: bytes, *, life_ms: int, mark_life_ms: int, fence: int
    ) -> bool:
        if (self._value(mark, int) or 0) > fence:
            return False
        self._keep(mark, fence, mark_life_ms)
        self._keep(key, value, life_ms)
        return True

    @override
    async def put_fields(self, key: str, fields: Mapping[str, bytes], life_ms: int) -> None:
        self._keep(key, {**self._table(key), **fields}, life_ms)

    @override
    async def fields(self, key: str) -> dict[str, bytes]:
        return dict(self._table(key))

    @override
    async def raise_scores(self, key: str, by: Mapping[str, float], life_ms: int) -> None:
        scores = dict(self._scores(key))
        for member, score in by.items():
            scores[member] = scores.get(member, 0.0) + score
        self._keep(key, scores, life_ms)

    @override
    async def set_score(self, key: str, member: str, score: float, life_ms: int) -> None:
        self._keep(key, {**self._scores(key), member: score}, life_ms)

    @override
    async def top(self, key: str, number: int) -> list[Scored]:
        return self._ascending(key)[::-1][:number]

    @override
    async def between(self, key: str, low: float, high: float, number: int) -> list[Scored]:
        found = [one for one in self._ascending(key) if low <= one.score <= high]
        return found[:number]

    @override
    async def trim(self, key: str, keep: int) -> int:
        scores = self._scores(key)
        gone = self._ascending(key)[: max(0, len(scores) - keep)]
        for one in gone:
            del scores[one.member]
        if not scores:
            self._entries.pop(key, None)
        return len(gone)

    def _table(self, key: str) -> dict[str, bytes]:
        entry = self._entry(key)
        return {} if entry is None else cast("dict[str, bytes]", entry.value)

    def _scores(self, key: str) -> dict[str, float]:
        entry = self._entry(key)
        return {} if entry is None else cast("dict[str, float]", entry.value)

    def _ascending(self, key: str) -> list[Scored]:
        ordered = sorted(self._scores(key).items(), key=lambda pair: (pair[1], pair[0].encode()))
        return [Scored(member=member, score=score) for member, score in ordered]

    def _value(self, key: str, kind: type[T]) -> T | None:
        entry = self._entry(key)
        return entry.value if entry is not None and isinstance(entry.value, kind) else None

    def _entry(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None and self._is_over(entry):
            del self._entries[key]
            return None
        return entry

    def _keep(self, key: str, value: object, life_ms: int | None) -> None:
        if key not in self._entries and len(self._entries) >= self._entries_max:
            self._make_room()
        ends_ns = None if life_ms is None else self._clock.monotonic_ns() + life_ms * NS_PER_MS
        self._entries[key] = _Entry(value, ends_ns)

    def _make_room(self) -> None:
        ending = [(entry.ends_ns, key) for key, entry in self._entries.items() if entry.ends_ns]
        over = [key for ends_ns, key in ending if ends_ns <= self._clock.monotonic_ns()]
        for key in over or [key for _, key in sorted(ending)[: 1 + self._entries_max // 100]]:
            del self._entries[key]

    def _is_over(self, entry: _Entry) -> bool:
        return entry.ends_ns is not None and entry.ends_ns <= self._clock.monotonic_ns()

    def _left_ms(self, entry: _Entry) -> int:
        ends_ns = entry.ends_ns or 0
        return max(0, (ends_ns - self._clock.monotonic_ns()) // NS_PER_MS)
