"""Which traces are kept, decided when what there is of them is there; pure."""

from dataclasses import dataclass, field
from typing import Final

from aitrading.core.infrastructure.tracing import Outcome, SpanKind, TracePart
from aitrading.core.kit.clock import NS_PER_MS
from aitrading.core.kit.ids import TenantId

EDGE: Final = "edge"
FAILED: Final = "failed"
REFUSED: Final = "refused"
SLOW: Final = "slow"
SHARE: Final = "share"
MAX_SPANS_OF_TRACE: Final = 2_000
"""Written for one organisation; who sends the same id with every request gets that much of it."""
MAX_SPANS_KNOWN: Final = 2 * MAX_SPANS_OF_TRACE
"""Of one trace, whose organisation is remembered for the parts that come later."""
_DIGITS: Final = 8
_SPACE: Final = 16**_DIGITS


@dataclass
class HeldTrace:
    """The parts of one trace that came so far, and whose their spans are."""

    since_ns: int = 0
    waiting: list[TracePart] = field(default_factory=list[TracePart])
    """Not written yet."""
    because: str | None = None
    """Why it is kept; None while that is not decided."""
    admitted: dict[tuple[TenantId, bool], bool] = field(
        default_factory=dict[tuple[TenantId, bool], bool]
    )
    """Whether it counts among the traces of an owner that are kept, those that failed or others."""
    written: dict[TenantId, int] = field(default_factory=dict[TenantId, int])
    """Spans of each owner that were handed on."""
    spent: set[TenantId] = field(default_factory=set[TenantId])
    """Owners of whom it had more than `MAX_SPANS_OF_TRACE`."""
    owners: dict[str, str] = field(default_factory=dict[str, str])
    """Organisation by span, of the parts that were written."""
    openers: dict[str, str] = field(default_factory=dict[str, str])
    """Organisation by the span that asked for a part of it."""

    def add(self, part: TracePart) -> None:
        """One more."""
        self.waiting.append(part)

    @property
    def waiting_spans(self) -> int:
        """Spans that were not handed on yet."""
        return sum(len(part.spans) for part in self.waiting)

    @property
    def known_spans(self) -> int:
        """Spans whose organisation is remembered."""
        return len(self.owners) + len(self.openers)

    def within_budget(self, owner: TenantId, parts: list[TracePart]) -> list[TracePart]:
        """As many of the parts, in their order, as the trace may still have with this owner."""
        fitting: list[TracePart] = []
        written = self.written.get(owner, 0)
        for part in parts:
            if written + len(part.spans) > MAX_SPANS_OF_TRACE:
                self.spent.add(owner)
                break
            written += len(part.spans)
            fitting.append(part)
        self.written[owner] = written
        return fitting


def is_shared(trace_id: str, share: float) -> bool:
    """Whether it is in the share: by its id alone, so that each of its parts is."""
    return int(trace_id[-_DIGITS:], 16) < share * _SPACE


def worth(part: TracePart, *, share: float, slow_ms: int) -> str | None:
    """Why a trace with this part is kept, as far as the part tells."""
    if part.outcome is Outcome.FAILED:
        return FAILED
    if part.outcome is Outcome.REFUSED:
        return REFUSED
    stays = part.root.kind is SpanKind.CONNECTION
    if part.root.took_ns > slow_ms * NS_PER_MS and not stays:
        return SLOW
    return SHARE if is_shared(part.trace_id, share) else None


def owned(held: HeldTrace, *, finally_: bool) -> dict[str | None, list[TracePart]]:
    """Take the parts whose organisation is known; with `finally_` the rest is the platform's.

    A part that names no organisation belongs to whom it worked for: to the organisation of the
    span that called it, or for the edge, where it verified no token, to that of the request it let
    in.
    What came through the edge says nothing of its own about whose span it continues. A trace that
    grows without end forgets whose its spans were: what it adopts later is the platform's.
    """
    parts = held.waiting
    own = {part.root.id: part.tenant for part in parts if part.tenant is not None}
    of_span = dict(held.owners)
    of_span.update(
        (span.id, part.tenant) for part in parts if part.tenant is not None for span in part.spans
    )
    held.openers.update(
        (part.root.parent, part.tenant)
        for part in parts
        if part.tenant is not None and part.root.parent is not None
    )
    while _adopt(parts, own, of_span, held.openers):
        pass
    taken: dict[str | None, list[TracePart]] = {}
    held.waiting = []
    for part in parts:
        if part.root.id in own or finally_:
            taken.setdefault(own.get(part.root.id), []).append(part)
        else:
            held.waiting.append(part)
    held.owners = of_span
    if held.known_spans > MAX_SPANS_KNOWN:
        held.owners, held.openers = {}, {}
    return taken


def _adopt(
    parts: list[TracePart], own: dict[str, str], of_span: dict[str, str], openers: dict[str, str]
) -> bool:
    """One round of finding out; tells whether anything was found."""
    before = len(own)
    for part in parts:
        root = part.root
        if root.id in own:
            continue
        if root.kind is SpanKind.EDGE or part.service == EDGE:
            tenant = openers.get(root.id)
        else:
            tenant = of_span.get(root.parent or "")
            if tenant is not None:
                of_span.update((span.id, tenant) for span in part.spans)
        if tenant is not None:
            own[root.id] = tenant
    return len(own) > before
