"""What is kept: a series is one metric of one service with one set of labels."""

from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from aitrading.core.infrastructure.metrics import Metric, MetricKind

Labels = tuple[tuple[str, str], ...]
"""Sorted by name."""

SUM: Final = -1
"""The part of a distribution that holds the sum of what was observed."""
WHOLE: Final = 0
"""The only part of a counter or gauge. Buckets of a distribution count from 1."""

SEEN: Final = Metric(
    name="aitrading_history_seen_s_total",
    kind=MetricKind.COUNTER,
    help="Seconds of which the history of metrics knows how a process was; kept for every service, "
    "and what tells a gap from a value that did not change.",
)


class Series(NamedTuple):
    """One line of the history; `bounds` are the upper ends of a distribution's buckets."""

    service: str
    name: str
    kind: MetricKind
    labels: Labels = ()
    bounds: tuple[float, ...] = ()

    @property
    def id(self) -> int:
        """The same number wherever and whenever it is made: stores keep it instead of the texts."""
        return _id_of(self)


@lru_cache(maxsize=100_000)
def _id_of(series: Series) -> int:
    parts = (
        series.service,
        series.name,
        series.kind,
        *(text for pair in series.labels for text in pair),
        *(repr(bound) for bound in series.bounds),
    )
    digest = blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def seen_of(service: str) -> Series:
    """The series that says when a service's metrics were read."""
    return Series(service, SEEN.name, SEEN.kind)
