"""From the Prometheus text of a process to what the history keeps of it; pure.

Labels that name one process or one customer are summed away: a series outlives a restart, and the
history says nothing of a tenant. The same names come every round, so what was read of a name is
remembered; reading a known line costs a look-up.
"""

import re
from math import inf, isfinite
from typing import Final, NamedTuple

from aitrading.core.infrastructure.health.readings import PROCESS_INFO, PROCESS_UPTIME
from aitrading.core.infrastructure.metrics import MetricKind
from aitrading.server.database_service.metrics_history.errors import EXPOSITION_UNREADABLE
from aitrading.server.database_service.metrics_history.series import (
    SUM,
    WHOLE,
    Labels,
    Series,
)

SUMMED_AWAY: Final = frozenset({"account", "device", "instance", "tenant", "user"})
MAX_NAME_CHARS: Final = 128
MAX_LABELS_CHARS: Final = 400
MAX_BUCKETS: Final = 64
MAX_REMEMBERED: Final = 100_000
"""Names of all services together; beyond, all are read anew."""
_HEAD: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?", re.ASCII)
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)', re.ASCII)
_NAME: Final = re.compile(rf"[a-zA-Z_][a-zA-Z0-9_]{{0,{MAX_NAME_CHARS - 1}}}", re.ASCII)
_ESCAPED: Final = re.compile(r"\\(.)")
_TYPE: Final = "# TYPE "
_TYPE_WORDS: Final = 4


class Reading(NamedTuple):
    """One series and what each of its parts has reached."""

    series: Series
    parts: tuple[tuple[int, float], ...]


class Snapshot(NamedTuple):
    """One process at one moment."""

    instance: str
    uptime_s: float | None
    readings: list[Reading]
    refused: int
    """Lines whose names are too long to keep."""


class _Line(NamedTuple):
    """What the part of a line before its value says; `end` is the upper end of a bucket."""

    series: Series | None
    """None for a line that is not kept."""
    end: float | None = None
    is_sum: bool = False
    refused: bool = False
    instance: str = ""


_IGNORED: Final = _Line(None)
_Buckets = dict[Series, tuple[list[tuple[float, float]], list[float]]]
"""Ends with counts of everything below them, and sums, by the distribution without its bounds."""


class TextReader:
    """Reads texts of all services; remembers their names."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], _Line] = {}

    def read(self, service: str, text: bytes) -> Snapshot:
        """Read everything; raises `EXPOSITION_UNREADABLE` for what is not Prometheus text."""
        if len(self._lines) > MAX_REMEMBERED:
            self._lines.clear()
        try:
            return self._read(service, text.decode())
        except ValueError as exc:
            raise EXPOSITION_UNREADABLE.error(service=service, reason=str(exc)[:200]) from exc

    def _read(self, service: str, text: str) -> Snapshot:
        instance, uptime_s, refused = "", None, 0
        kinds: dict[str, str] = {}
        plain: dict[Series, float] = {}
        buckets: _Buckets = {}
        for raw in text.splitlines():
            if raw.startswith("#") or not raw:
                words = raw.split(" ", _TYPE_WORDS) if raw.startswith(_TYPE) else ()
                if len(words) == _TYPE_WORDS:
                    kinds[words[2]] = words[3]
                continue
            head, _, number = raw.rpartition(" ")
            line = self._line(service, head, kinds)
            refused, instance = refused + line.refused, instance or line.instance
            value = float(number)
            if line.series is None or not isfinite(value):
                continue
            if line.series.kind is MetricKind.HISTOGRAM:
                _note_bucket(buckets, line, value)
                continue
            plain[line.series] = plain.get(line.series, 0.0) + value
            if line.series.name == PROCESS_UPTIME.name:
                uptime_s = value
        readings = [Reading(series, ((WHOLE, value),)) for series, value in plain.items()]
        distributions = [_distribution(series, *found) for series, found in buckets.items()]
        kept = [each for each in distributions if each is not None]
        refused += len(distributions) - len(kept)
        return Snapshot(instance, uptime_s, readings + kept, refused)

    def _line(self, service: str, head: str, kinds: dict[str, str]) -> _Line:
        known = self._lines.get((service, head))
        if known is None:
            known = self._lines[service, head] = _line_of(service, head, kinds)
        return known


def _line_of(service: str, head: str, kinds: dict[str, str]) -> _Line:
    """Raises `ValueError` for what is not the name of a sample."""
    found = _HEAD.fullmatch(head)
    if found is None:
        raise ValueError(f"{head[:80]!r} is not the name of a sample")
    name, labels = found[1], _labels_of(found[2] or "")
    kept: Labels = tuple(sorted((k, v) for k, v in labels.items() if k not in SUMMED_AWAY))
    kind = kinds.get(name)
    if kind in {MetricKind.COUNTER, MetricKind.GAUGE} and not name.endswith("_created"):
        series = Series(service, name, MetricKind(kind), kept)
        instance = labels.get("instance", "") if name == PROCESS_INFO.name else ""
        return _Line(None, refused=True) if _too_long(series) else _Line(series, instance=instance)
    family, _, part = name.rpartition("_")
    if kinds.get(family) != MetricKind.HISTOGRAM or part not in {"bucket", "sum"}:
        return _IGNORED
    kept = tuple(pair for pair in kept if pair[0] != "le")
    series = Series(service, family, MetricKind.HISTOGRAM, kept)
    if _too_long(series):
        return _Line(None, refused=True)
    return _Line(series, float(labels.get("le", "inf")), is_sum=part == "sum")


def _labels_of(text: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _LABEL.match(text, at)
        if found is None:
            raise ValueError(f"{text[at : at + 80]!r} is not a label")
        labels[found[1]] = _ESCAPED.sub(lambda m: "\n" if m[1] == "n" else m[1], found[2])
        at = found.end()
    return labels


def _note_bucket(buckets: _Buckets, line: _Line, value: float) -> None:
    assert line.series is not None  # noqa: S101 - the caller looked
    ends, sums = buckets.setdefault(line.series, ([], []))
    if line.is_sum:
        sums.append(value)
    else:
        ends.append((inf if line.end is None else line.end, value))


def _distribution(
    series: Series, ends: list[tuple[float, float]], sums: list[float]
) -> Reading | None:
    """Buckets come as counts of everything below their end; each is kept for itself.

    None for one with too many.
    """
    below: dict[float, float] = {}
    for end, count in ends:
        below[end] = below.get(end, 0.0) + count
    bounds = tuple(sorted(end for end in below if end != inf))
    if len(bounds) > MAX_BUCKETS:
        return None
    parts = [(SUM, sum(sums))]
    before = 0.0
    for number, end in enumerate((*bounds, inf), 1):
        count = below.get(end, before)
        parts.append((number, count - before))
        before = count
    return Reading(series._replace(bounds=bounds), tuple(parts))


def _too_long(series: Series) -> bool:
    texts = [text for pair in series.labels for text in pair]
    return (
        _NAME.fullmatch(series.name) is None
        or sum(map(len, texts)) > MAX_LABELS_CHARS
        or any("\0" in text for text in texts)
    )
