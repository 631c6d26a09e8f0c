"""Parts of traces that wait to be collected: bounded, and what does not fit is counted."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from aitrading.core.infrastructure.tracing.spans import Outcome, TracePart

MAX_WAITING_SPANS: Final = 20_000
"""About 8 MB; a second of traffic is a tenth of it."""
MAX_REMEMBERED_LOST: Final = 1_000


class TraceBacklog:
    """Adding never waits. When it is full, the oldest part that did not fail gives way.

    Of a trace that lost a part the collector is told, so that it can let go of the rest.
    """

    def __init__(self, limit_spans: int = MAX_WAITING_SPANS) -> None:
        self._limit_spans = limit_spans
        self._well: deque[TracePart] = deque()
        self._failed: deque[TracePart] = deque()
        self._lost: deque[str] = deque(maxlen=MAX_REMEMBERED_LOST)
        self.spans = 0
        self.dropped = 0
        self.dropped_failed = 0

    def __len__(self) -> int:
        return len(self._well) + len(self._failed)

    def add(self, part: TracePart) -> None:
        """Keep it, at the cost of the oldest where there is no room."""
        self._line_of(part).append(part)
        self.spans += len(part.spans)
        self._bound()

    def take(self, limit_spans: int) -> tuple[TracePart, ...]:
        """The next to be sent, failed ones first; at least one while any waits."""
        taken: list[TracePart] = []
        spans = 0
        for waiting in (self._failed, self._well):
            while waiting and (not taken or spans + len(waiting[0].spans) <= limit_spans):
                part = waiting.popleft()
                spans += len(part.spans)
                taken.append(part)
        self.spans -= spans
        return tuple(taken)

    def put_back(self, parts: Sequence[TracePart], lost: Iterable[str] = ()) -> None:
        """Keep for the next time what could not be sent, as the oldest: it gives way first."""
        for part in reversed(parts):
            self._line_of(part).appendleft(part)
            self.spans += len(part.spans)
        self._lost.extend(lost)
        self._bound()

    def take_lost(self) -> tuple[str, ...]:
        """Traces of which parts were dropped since the last time."""
        lost = tuple(dict.fromkeys(self._lost))
        self._lost.clear()
        return lost

    def _line_of(self, part: TracePart) -> deque[TracePart]:
        return self._failed if part.outcome is Outcome.FAILED else self._well

    def _bound(self) -> None:
        while self.spans > self._limit_spans and len(self) > 1:
            self._drop()

    def _drop(self) -> None:
        if self._well:
            gone = self._well.popleft()
            self.dropped += 1
        else:
            gone = self._failed.popleft()
            self.dropped_failed += 1
        self.spans -= len(gone.spans)
        self._lost.append(gone.trace_id)
