"""What is recorded of a request: names the program chose, times and outcomes.

No text of a customer, no parameter of a statement, no query of an address is ever in here.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

MAX_NAME_CHARS: Final = 120
MAX_CODE_CHARS: Final = 100


class SpanKind(StrEnum):
    """What a span times."""

    EDGE = "edge"
    REQUEST = "request"
    CONNECTION = "connection"
    """The life of a connection that stays; its greeting is a request."""
    LIMIT = "limit"
    """Whether it was asked too often."""
    CALL = "call"
    PUBLISH = "publish"
    EVENT = "event"
    DATABASE = "database"
    TIME_SERIES = "time_series"
    CACHE = "cache"


class Outcome(StrEnum):
    """How something ended: done, refused to whoever asked, or failed on our side."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"

    @property
    def rank(self) -> int:
        """The worse, the higher."""
        return _RANKS[self]


_RANKS: Final = {Outcome.OK: 0, Outcome.REFUSED: 1, Outcome.FAILED: 2}


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of several; nothing at all is fine."""
    return max(outcomes, key=lambda each: each.rank, default=Outcome.OK)


class Span(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One timed step; times are nanoseconds, the begin since the Unix epoch.

    `fingerprint` names the kind of error, as `/api/v1/errors` knows it.
    """

    id: str
    kind: SpanKind
    name: str
    began_ns: int
    took_ns: int
    parent: str | None = None
    outcome: Outcome = Outcome.OK
    code: str | None = None
    fingerprint: str | None = None


class TracePart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one process did for one trace; the first span is the whole of it, the rest its steps.

    `cut` counts steps beyond the limit, which were not kept.
    """

    trace_id: str
    service: str
    spans: tuple[Span, ...]
    tenant: str | None = None
    cut: int = 0

    @property
    def root(self) -> Span:
        """The span that is the whole part."""
        return self.spans[0]

    @property
    def outcome(self) -> Outcome:
        """How the part as a whole ended; a step that failed and was made good does not count."""
        return self.spans[0].outcome
