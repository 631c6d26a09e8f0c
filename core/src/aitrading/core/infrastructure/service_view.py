"""What one process knows about all services: follows the store, survives its loss."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from aitrading.core.infrastructure.service_registry import RegistryChange, ServiceRecord
from aitrading.core.kit.clock import NS_PER_S, Clock

MAX_SERVICES: Final = 10_000


@dataclass(frozen=True)
class _Entry:
    record: ServiceRecord
    expires_ns: int
    """By the monotonic clock, so that a corrected wall clock ends no lease."""


class ServiceView:
    """Records with running leases; safe from any thread.

    While frozen no lease ends: what was known last is the best answer there is.
    """

    def __init__(self, clock: Clock, *, lease_limit_s: float) -> None:
        self._clock = clock
        self._lease_limit_ns = round(lease_limit_s * NS_PER_S)
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        self._stale_since_ns: int | None = None

    @property
    def stale_since_ns(self) -> int | None:
        """Wall time of the freezing, or None."""
        return self._stale_since_ns

    def find(self, name: str) -> list[ServiceRecord]:
        """Instances of one service."""
        return [record for record in self.all() if record.name == name]

    def all(self) -> list[ServiceRecord]:
        """Every service, by name and instance."""
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            live = [
                entry.record for entry in self._entries.values() if self._is_live(entry, now_ns)
            ]
        return sorted(live, key=lambda record: record.key)

    def apply(self, change: RegistryChange) -> RegistryChange | None:
        """Take over a change; give it back when it is news, None for a mere renewal."""
        with self._lock:
            return self._apply(change)

    def replace(self, records: Iterable[ServiceRecord]) -> list[RegistryChange]:
        """Take over the whole truth and thaw; give what is new, changed or gone."""
        truth = {record.key: record for record in records}
        with self._lock:
            self._stale_since_ns = None
            gone = [
                RegistryChange(key=key, record=None) for key in self._entries if key not in truth
            ]
            changes = [RegistryChange(key=key, record=record) for key, record in truth.items()]
            told = [self._apply(change) for change in (*gone, *changes)]
        return [*(change for change in told if change is not None), *self.sweep()]

    def freeze(self) -> None:
        """Keep everything that is known until `replace`."""
        with self._lock:
            if self._stale_since_ns is None:
                self._sweep()
                self._stale_since_ns = self._clock.now_ns()

    def sweep(self) -> list[RegistryChange]:
        """Drop ended leases; give what was dropped."""
        with self._lock:
            return self._sweep()

    def _apply(self, change: RegistryChange) -> RegistryChange | None:
        known = self._entries.get(change.key)
        if change.record is None or change.record.lease_until_ns <= self._clock.now_ns():
            self._entries.pop(change.key, None)
            return RegistryChange(key=change.key, record=None) if known is not None else None
        if known is None and len(self._entries) >= MAX_SERVICES:
            return None
        remaining_ns = change.record.lease_until_ns - self._clock.now_ns()
        lease_ns = min(remaining_ns, self._lease_limit_ns)
        self._entries[change.key] = _Entry(change.record, self._clock.monotonic_ns() + lease_ns)
        if known is not None and _same(known.record, change.record):
            return None
        return change

    def _sweep(self) -> list[RegistryChange]:
        now_ns = self._clock.monotonic_ns()
        ended = [key for key, entry in self._entries.items() if not self._is_live(entry, now_ns)]
        for key in ended:
            del self._entries[key]
        return [RegistryChange(key=key, record=None) for key in ended]

    def _is_live(self, entry: _Entry, now_ns: int) -> bool:
        return self._stale_since_ns is not None or now_ns < entry.expires_ns


def _same(known: ServiceRecord, new: ServiceRecord) -> bool:
    return msgspec.structs.replace(known, lease_until_ns=new.lease_until_ns) == new
