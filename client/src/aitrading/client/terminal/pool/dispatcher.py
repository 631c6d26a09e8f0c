"""Which question goes to which worker, and in which order: a value without clock or I/O.

Of those that wait, orders go first, then ticks, then quick questions, then history; within a lane
the oldest. Orders of one key never run beside each other, so they keep their order. Ticks always
come from the first worker. History never runs there, and never holds more than half of the others,
so it delays neither. Only with one worker at most there is nothing to keep apart.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from aitrading.client.terminal.calls import Call, Lane

FIRST: Final = 0
"""The worker that orders and ticks can always have."""


@dataclass(kw_only=True, eq=False)
class Question:
    """Calls that one worker makes one after the other."""

    lane: Lane
    calls: tuple[Call, ...]
    queued_ns: int
    key: str = ""
    """Whose order must be kept; an account and a symbol."""
    slot: int | None = None
    """The worker that is meant, if any."""
    attempts: int = 0

    @property
    def name(self) -> str:
        """For messages."""
        return self.calls[0].name


@dataclass(frozen=True, kw_only=True)
class DispatchRules:
    """How workers may be used."""

    queue_max: int
    is_alone: bool
    """There will never be more than one worker."""
    shares_terminal: bool
    """All workers reach one terminal; otherwise the first alone executes and tells the account."""


@dataclass
class Dispatcher:
    """Questions that wait, workers that are free, and who is asked what."""

    rules: DispatchRules
    running: dict[int, Question] = field(default_factory=dict)
    _idle: set[int] = field(default_factory=set)
    _waiting: dict[Lane, deque[Question]] = field(
        default_factory=lambda: {lane: deque() for lane in Lane}
    )

    @property
    def waiting(self) -> int:
        """How many questions have no worker yet."""
        return sum(map(len, self._waiting.values()))

    @property
    def is_full(self) -> bool:
        """No more may wait."""
        return self.waiting >= self.rules.queue_max

    @property
    def idle(self) -> frozenset[int]:
        """The workers that do nothing."""
        return frozenset(self._idle)

    def waits(self, lane: Lane) -> int:
        """How many questions of a lane wait."""
        return len(self._waiting[lane])

    def oldest_ns(self) -> int | None:
        """Since when the oldest question waits that one more worker could take."""
        return min(
            (one.queued_ns for queue in self._waiting.values() for one in queue
             if self._is_for_any(one)),
            default=None,
        )  # fmt: skip

    def _is_for_any(self, question: Question) -> bool:
        if question.slot is not None or (question.key and self._is_held(question)):
            return False
        if self.rules.shares_terminal:
            return question.lane is not Lane.TICKS
        return question.lane is Lane.HISTORY

    def submit(self, question: Question) -> None:
        """Let it wait; `next` says when it has a worker."""
        self._waiting[question.lane].append(question)

    def repeat(self, question: Question) -> None:
        """Let it wait in front of all others of its lane."""
        self._waiting[question.lane].appendleft(question)

    def withdraw(self, question: Question) -> bool:
        """Take it back, if it still waits."""
        try:
            self._waiting[question.lane].remove(question)
        except ValueError:
            return False
        return True

    def overdue(self, since_ns: int) -> list[Question]:
        """Take back everything that has waited since then or longer."""
        late = [one for queue in self._waiting.values() for one in queue
                if one.queued_ns <= since_ns]  # fmt: skip
        for one in late:
            self.withdraw(one)
        return late

    def ready(self, slot: int) -> None:
        """A worker can be asked."""
        if slot not in self.running:
            self._idle.add(slot)

    def done(self, slot: int) -> None:
        """A worker has answered."""
        self.running.pop(slot, None)
        self._idle.add(slot)

    def gone(self, slot: int) -> None:
        """A worker cannot be asked any more; what it was asked is nobody's now."""
        self.running.pop(slot, None)
        self._idle.discard(slot)

    def assign(self) -> Iterator[tuple[int, Question]]:
        """Give free workers what waits for them."""
        for lane in Lane:
            for question in list(self._waiting[lane]):
                slot = self._slot_for(question)
                if slot is None:
                    continue
                self._waiting[lane].remove(question)
                self._idle.discard(slot)
                self.running[slot] = question
                yield slot, question

    def _slot_for(self, question: Question) -> int | None:
        if question.slot is not None:
            return question.slot if question.slot in self._idle else None
        if question.key and self._is_held(question):
            return None
        may = [slot for slot in self._idle if self._may(question.lane, slot)]
        return max(may, default=None)  # the first is kept free for ticks as long as possible

    def _is_held(self, question: Question) -> bool:
        """Another of its key runs, or waits in front of it."""
        if any(one.key == question.key for one in self.running.values()):
            return True
        queue = self._waiting[question.lane]
        return next(one for one in queue if one.key == question.key) is not question

    def _may(self, lane: Lane, slot: int) -> bool:
        if self.rules.is_alone:
            return True
        if lane is Lane.HISTORY:
            return slot != FIRST and self._histories() < self._histories_max()
        if lane is Lane.TICKS or not self.rules.shares_terminal:
            return slot == FIRST
        return True

    def _histories(self) -> int:
        return sum(one.lane is Lane.HISTORY for one in self.running.values())

    def _histories_max(self) -> int:
        others = len((self._idle | self.running.keys()) - {FIRST})
        return max(1, others // 2)
