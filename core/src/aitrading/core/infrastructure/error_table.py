"""The folded history of errors: one entry per fingerprint, bounded."""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from aitrading.core.infrastructure.error_dna import ErrorDna, ErrorRecord, SimilarError
from aitrading.core.kit.clock import NS_PER_S

MAX_FINGERPRINTS: Final = 1_000
RATE_WINDOW_S: Final = 60.0


@dataclass
class _Entry:
    dna: ErrorDna
    message: str
    tenant: str | None
    trace_id: str | None
    first_seen_ns: int
    last_seen_ns: int
    count: int = 0
    weight: float = 0.0
    similar: tuple[SimilarError, ...] = ()

    def rate_per_min(self, now_ns: int) -> float:
        age_s = max(0, now_ns - self.last_seen_ns) / NS_PER_S
        return self.weight * math.exp(-age_s / RATE_WINDOW_S)


class ErrorTable:
    """Folds repeats by fingerprint; at `MAX_FINGERPRINTS` the longest silent one is forgotten.

    The rate is a count that fades with a time constant of one minute: a steady r errors per
    minute reads as r.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.forgotten = 0

    def fold(
        self,
        dna: ErrorDna,
        *,
        message: str,
        tenant: str | None,
        trace_id: str | None,
        now_ns: int,
    ) -> ErrorRecord:
        """Count one more of its kind and give the record as it is now."""
        entry = self._entries.get(dna.fingerprint)
        if entry is None:
            entry = _Entry(dna, message, tenant, trace_id, now_ns, now_ns)
            self._entries[dna.fingerprint] = entry
        entry.weight = entry.rate_per_min(now_ns) + 1.0
        entry.count += 1
        entry.message, entry.tenant, entry.trace_id = message, tenant, trace_id
        entry.last_seen_ns = now_ns
        self._entries.move_to_end(dna.fingerprint)
        if len(self._entries) > MAX_FINGERPRINTS:
            self._entries.popitem(last=False)
            self.forgotten += 1
        return _record(entry, now_ns)

    def latest(self, limit: int, now_ns: int) -> list[ErrorRecord]:
        """The most recently seen errors, newest first."""
        newest = list(reversed(self._entries.values()))[:limit]
        return [_record(entry, now_ns) for entry in newest]

    def recognise(self, fingerprint: str, similar: tuple[SimilarError, ...]) -> None:
        """Note which earlier errors are like one of ours; a forgotten one stays forgotten."""
        entry = self._entries.get(fingerprint)
        if entry is not None:
            entry.similar = similar

    def __len__(self) -> int:
        return len(self._entries)


def _record(entry: _Entry, now_ns: int) -> ErrorRecord:
    return ErrorRecord(
        code=entry.dna.code,
        fingerprint=entry.dna.fingerprint,
        category=entry.dna.category,
        severity=entry.dna.severity,
        impact=entry.dna.impact,
        message=entry.message,
        remedy=entry.dna.remedy,
        tenant=entry.tenant,
        trace_id=entry.trace_id,
        first_seen_ns=entry.first_seen_ns,
        last_seen_ns=entry.last_seen_ns,
        count=entry.count,
        rate_per_min=round(entry.rate_per_min(now_ns), 3),
        similar=entry.similar,
    )
