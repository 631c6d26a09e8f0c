"""Spans of one trace as a tree in time order; pure.

Spans come in any order, twice, or not at all. Nothing is made up for what is missing: a span whose
parent did not come stands where it is known to stand, and the trace says that it is incomplete.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from aitrading.core.infrastructure.tracing.spans import Outcome, Span, SpanKind, TracePart, worst

MAX_DEPTH: Final = 64
"""Deeper ones are shown at this depth; a house of services is ten deep."""


class TraceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One span and its place; `offset_ns` counts from the first begin of the trace."""

    span: Span
    service: str
    depth: int
    offset_ns: int
    orphan: bool
    """Its parent is named and did not come."""


class AssembledTrace(msgspec.Struct, frozen=True, kw_only=True):
    """Every span that is there, each once, parents before children, siblings by their begin."""

    lines: tuple[TraceLine, ...]
    began_ns: int
    took_ns: int
    outcome: Outcome
    missing: tuple[str, ...]
    """Ids of spans that others name as their parent and that did not come."""
    cut: int
    """Steps that were not kept, because their part had too many."""

    @property
    def complete(self) -> bool:
        """Nothing that is known to have happened is missing."""
        return not self.missing and not self.cut


def assemble(parts: Sequence[TracePart]) -> AssembledTrace:
    """Put the parts of one trace together; no parts at all give an empty trace."""
    known: dict[str, tuple[Span, str]] = {}
    for part in parts:
        for span in part.spans:
            known.setdefault(span.id, (span, part.service))
    spans = sorted((span for span, _ in known.values()), key=_by_begin)
    children: dict[str | None, list[Span]] = {}
    missing: list[str] = []
    for span in spans:
        at = span.parent if span.parent in known and span.parent != span.id else None
        children.setdefault(at, []).append(span)
        if span.parent is not None and span.parent not in known:
            missing.append(span.parent)
    began_ns = min((span.began_ns for span in spans), default=0)
    lines: list[TraceLine] = []
    for span, depth in _in_order(spans, children):
        lines.append(
            TraceLine(
                span=span,
                service=known[span.id][1],
                depth=min(depth, MAX_DEPTH),
                offset_ns=span.began_ns - began_ns,
                orphan=span.parent is not None and span.parent not in known,
            )
        )
    return AssembledTrace(
        lines=tuple(lines),
        began_ns=began_ns,
        took_ns=max((span.began_ns + span.took_ns for span in spans), default=0) - began_ns,
        outcome=worst(part.outcome for part in parts),
        missing=tuple(dict.fromkeys(missing)),
        cut=sum({part.root.id: part.cut for part in parts}.values()),
    )


def _by_begin(span: Span) -> tuple[int, bool, str]:
    """By time; of two that begin together the edge's stands first."""
    return span.began_ns, span.kind is not SpanKind.EDGE, span.id


def _in_order(
    spans: Iterable[Span], children: dict[str | None, list[Span]]
) -> Iterable[tuple[Span, int]]:
    """Depth first without recursion; spans that only name each other in a circle come last."""
    shown: set[str] = set()
    for start in (*children.get(None, ()), *spans):
        waiting = [(start, 0)]
        while waiting:
            span, depth = waiting.pop()
            if span.id in shown:
                continue
            shown.add(span.id)
            yield span, depth
            waiting.extend((each, depth + 1) for each in reversed(children.get(span.id, ())))
