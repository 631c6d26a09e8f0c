"""Errors of this process that nobody else knows of yet: folded, bounded, handed on at intervals."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from aitrading.core.infrastructure.error_dna import ErrorDna
from aitrading.core.infrastructure.events import ErrorSeen

MAX_WAITING: Final = 1_000
"""Kinds of errors that may wait; beyond it the one that waited longest is forgotten, and counted."""

Key = tuple[str | None, str]
"""(tenant, fingerprint): what happened to one organisation is not told to another."""


class ErrorBacklog:
    """Folds what happened since the last hand-over."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Key, ErrorSeen] = OrderedDict()
        self.forgotten = 0
        """How often something happened that nobody will be told of."""

    def note(
        self, dna: ErrorDna, *, tenant: str | None, trace_id: str | None, now_ns: int
    ) -> None:
        """Count one more of its kind."""
        once = ErrorSeen(
            code=dna.code,
            fingerprint=dna.fingerprint,
            severity=dna.severity,
            impact=dna.impact,
            kind=dna.kind,
            frames=dna.frames,
            message=dna.summary,
            count=1,
            first_seen_ns=now_ns,
            last_seen_ns=now_ns,
            trace_id=trace_id,
        )
        self._add(tenant, once)

    def drain(self) -> dict[str | None, list[ErrorSeen]]:
        """Hand over everything, by tenant."""
        waiting, self._waiting = self._waiting, OrderedDict()
        by_tenant: dict[str | None, list[ErrorSeen]] = {}
        for (tenant, _), seen in waiting.items():
            by_tenant.setdefault(tenant, []).append(seen)
        return by_tenant

    def put_back(self, tenant: str | None, seen: Iterable[ErrorSeen]) -> None:
        """Keep for the next time what could not be handed on."""
        for each in seen:
            self._add(tenant, each)

    def __len__(self) -> int:
        return len(self._waiting)

    def _add(self, tenant: str | None, seen: ErrorSeen) -> None:
        key = (tenant, seen.fingerprint)
        known = self._waiting.get(key)
        self._waiting[key] = seen if known is None else folded(known, seen)
        if len(self._waiting) > MAX_WAITING:
            _, oldest = self._waiting.popitem(last=False)
            self.forgotten += oldest.count


def folded(first: ErrorSeen, second: ErrorSeen) -> ErrorSeen:
    """Two summaries of one kind as one."""
    latest = max(first, second, key=lambda seen: seen.last_seen_ns)
    return msgspec.structs.replace(
        latest,
        count=first.count + second.count,
        first_seen_ns=min(first.first_seen_ns, second.first_seen_ns),
        trace_id=latest.trace_id or first.trace_id or second.trace_id,
    )
