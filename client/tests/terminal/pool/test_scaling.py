"""How many workers there are while volume steps 1, 50, 1: a simulation without a clock of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, pairwise

import pytest

from aitrading.client.terminal.calls import Call, Lane
from aitrading.client.terminal.pool.dispatcher import Dispatcher, DispatchRules, Question
from aitrading.client.terminal.pool.scaling import Scaling, ScalingRules, Volume
from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S

STEP_MS = 10
LOOK_MS = 250
SERVICE_MS = 90
START_MS = 600
"""How long a process needs before it can be asked."""


@dataclass
class Simulated:
    """Dispatcher and scaling as the pool drives them, with workers that only take time."""

    scaling: Scaling = field(
        default_factory=lambda: Scaling(
            ScalingRules(workers_min=1, workers_max=5, grow_after_ms=100, shrink_after_s=20.0)
        )
    )
    dispatcher: Dispatcher = field(
        default_factory=lambda: Dispatcher(
            DispatchRules(queue_max=100_000, is_alone=False, shares_terminal=True)
        )
    )
    now_ms: int = 0
    waited_ms: list[int] = field(default_factory=list)
    _free_at: dict[int, int] = field(default_factory=dict)
    _ready_at: dict[int, int] = field(default_factory=lambda: {0: 0})
    _busy_ms: int = 0
    _numbers: Iterator[int] = field(default_factory=count)

    def run(self, seconds: float, per_s: float) -> list[int]:
        """So many orders per second for so long; the number of workers at each second."""
        workers: list[int] = []
        for _ in range(round(seconds * 1_000 / STEP_MS)):
            self.now_ms += STEP_MS
            due = self.now_ms * per_s // 1_000 - (self.now_ms - STEP_MS) * per_s // 1_000
            for _ in range(int(due)):
                self._submit()
            self._work()
            if self.now_ms % LOOK_MS == 0:
                self._look()
            if self.now_ms % 1_000 == 0:
                workers.append(len(self._ready_at))
        return workers

    def _submit(self) -> None:
        key, now_ns = f"S{next(self._numbers) % 20}", self.now_ms * NS_PER_MS
        calls = (Call("order_send"),)
        self.dispatcher.submit(Question(lane=Lane.ORDERS, calls=calls, queued_ns=now_ns, key=key))

    def _work(self) -> None:
        for slot, at_ms in list(self._ready_at.items()):
            if at_ms == self.now_ms or (at_ms == 0 and self.now_ms == STEP_MS):
                self.dispatcher.ready(slot)
        for slot, free_ms in list(self._free_at.items()):
            if free_ms <= self.now_ms:
                del self._free_at[slot]
                self.dispatcher.done(slot)
        for slot, one in self.dispatcher.assign():
            self.waited_ms.append(self.now_ms - one.queued_ns // NS_PER_MS)
            self._free_at[slot] = self.now_ms + SERVICE_MS
            self._busy_ms += SERVICE_MS

    def _look(self) -> None:
        busy_ns, self._busy_ms = self._busy_ms * NS_PER_MS, 0
        wanted = self.scaling.look(
            Volume(
                now_ns=self.now_ms * NS_PER_MS,
                oldest_ns=self.dispatcher.oldest_ns(),
                lacks_history=False,
                busy_ns=busy_ns,
            )
        )
        while len(self._ready_at) < wanted:
            self._ready_at[len(self._ready_at)] = self.now_ms + START_MS
        if len(self._ready_at) > wanted and (last := max(self._ready_at)) not in self._free_at:
            del self._ready_at[last]
            self.dispatcher.gone(last)


def test_workers_follow_the_volume_up_and_down_within_their_bounds() -> None:
    world = Simulated()
    calm, storm, after = world.run(30, 1), world.run(60, 50), world.run(150, 1)
    assert set(calm) == {1}, "one order a second needs one worker"
    assert storm[9:] == [5] * 51, "fifty need five within ten seconds, and never more"
    assert all(later - sooner in {0, 1} for sooner, later in pairwise(storm))
    assert after[-1] == 1
    assert all(later - sooner in {0, -1} for sooner, later in pairwise(after)), "no flutter"
    assert after[15] == 5, "not before it was calm for a while"
    settled = world.waited_ms[1_500:]
    assert max(settled) < 2_000, "what waited at the step is worked off"


def test_bursts_with_pauses_keep_their_workers() -> None:
    world = Simulated()
    world.run(20, 50)
    seen = [world.run(5, per_s) for _ in range(10) for per_s in (1, 50)]
    assert {workers for one in seen for workers in one} == {5}


@pytest.mark.parametrize("busy", [0.0, 1.0])
def test_history_without_a_worker_gets_one_at_once(busy: float) -> None:
    scaling = Scaling(ScalingRules(workers_min=1, workers_max=2, grow_after_ms=100, shrink_after_s=1))  # fmt: skip

    def look(second: int, *, lacks: bool) -> int:
        volume = Volume(
            now_ns=second * NS_PER_S, oldest_ns=second * NS_PER_S if lacks else None,
            lacks_history=lacks, busy_ns=round(busy * NS_PER_S),
        )  # fmt: skip
        return scaling.look(volume)

    assert look(1, lacks=True) == 2
    assert look(2, lacks=True) == 2, "not above the limit"
    assert [look(second, lacks=False) for second in range(3, 6)] == ([2, 1, 1] if not busy else [2, 2, 2])  # fmt: skip
