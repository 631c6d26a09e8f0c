"""Start order, orderly stop and owned tasks."""

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.infrastructure.lifecycle import (
    AGAIN_FIRST_S,
    AILING_S,
    ComponentState,
    LifecycleManager,
    TaskSet,
    dependency_order,
)
from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock, settle

NAMES = st.sampled_from("abcdefgh")
GRAPHS = st.dictionaries(NAMES, st.sets(NAMES, max_size=3), max_size=8)


class Part:
    """Notes what happens to it in a shared diary."""

    def __init__(self, name: str, diary: list[str], *, depends_on: tuple[str, ...] = ()) -> None:
        self.name = name
        self.depends_on = depends_on
        self.state = ComponentState.NEW
        self.diary = diary
        self.start_error: Exception | None = None
        self.stop_error: Exception | None = None
        self.hangs_at: set[str] = set()

    async def start(self) -> None:
        self.diary.append(f"+{self.name}")
        if "start" in self.hangs_at:
            await asyncio.Event().wait()
        if self.start_error:
            self.state = ComponentState.FAILED
            raise self.start_error
        self.state = ComponentState.HEALTHY

    async def stop(self) -> None:
        self.diary.append(f"-{self.name}")
        if "stop" in self.hangs_at:
            await asyncio.Event().wait()
        if self.stop_error:
            raise self.stop_error
        self.state = ComponentState.STOPPED


class Trio:
    """c needs b, b needs a; given in the wrong order."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.a = Part("a", self.diary)
        self.b = Part("b", self.diary, depends_on=("a",))
        self.c = Part("c", self.diary, depends_on=("b",))
        self.manager = LifecycleManager([self.c, self.a, self.b], stop_timeout_s=0.05)


@async_test
async def test_inf_16_starts_in_dependency_order_and_stops_in_reverse() -> None:
    trio = Trio()
    async with trio.manager:
        assert trio.diary == ["+a", "+b", "+c"]
        assert trio.manager.states() == dict.fromkeys("abc", ComponentState.HEALTHY)
    assert trio.diary == ["+a", "+b", "+c", "-c", "-b", "-a"]


@async_test
async def test_a_failing_start_stops_what_ran_and_says_why() -> None:
    trio = Trio()
    trio.b.start_error = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        await trio.manager.start()
    assert trio.diary == ["+a", "+b", "-b", "-a"]


@async_test
async def test_a_cancelled_start_stops_what_ran() -> None:
    trio = Trio()
    trio.b.hangs_at = {"start"}
    async with asyncio.TaskGroup() as group:
        starting = group.create_task(trio.manager.start())
        await settle()
        starting.cancel()
    assert starting.cancelled()
    assert trio.diary == ["+a", "+b", "-b", "-a"]


@async_test
async def test_a_failing_stop_keeps_no_other_part_running() -> None:
    trio = Trio()
    trio.b.stop_error = OSError("stuck")
    await trio.manager.start()
    (failure,) = await trio.manager.stop()
    assert failure.component == "b"
    assert trio.a.state is ComponentState.STOPPED


@async_test
async def test_a_stop_that_hangs_is_left_behind_after_its_time() -> None:
    trio = Trio()
    trio.c.hangs_at = {"stop"}
    await trio.manager.start()
    (failure,) = await trio.manager.stop()
    assert isinstance(failure.error, AitradingError)
    assert failure.error.code == "LIFECYCLE_STOP_TIMEOUT"
    assert trio.a.state is ComponentState.STOPPED


@async_test
async def test_a_cancelled_stop_still_stops_everything() -> None:
    trio = Trio()
    trio.manager = LifecycleManager([trio.a, trio.b, trio.c], stop_timeout_s=60)
    trio.c.hangs_at = {"stop"}
    await trio.manager.start()
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(trio.manager.stop())
        await settle()
        stopping.cancel()
    assert stopping.cancelled()
    assert trio.diary[-3:] == ["-c", "-b", "-a"]


@async_test
async def test_stopping_twice_is_harmless() -> None:
    trio = Trio()
    await trio.manager.start()
    await trio.manager.stop()
    assert await trio.manager.stop() == []
    assert trio.diary.count("-a") == 1


def test_inf_16_a_missing_dependency_is_told_with_its_path() -> None:
    diary: list[str] = []
    parts = [Part("api", diary, depends_on=("pool",)), Part("pool", diary, depends_on=("pg",))]
    with pytest.raises(AitradingError) as refused:
        LifecycleManager(parts)
    assert refused.value.code == "LIFECYCLE_DEPENDENCY_MISSING"
    assert "api → pool → pg" in refused.value.message


def test_the_given_order_is_kept_where_nothing_is_declared() -> None:
    graph = {
        "nats": [],
        "bus": ["nats"],
        "flow": [],
        "hub": ["nats"],
        "page": ["pool"],
        "pool": [],
    }
    assert dependency_order(graph) == ("nats", "bus", "flow", "hub", "pool", "page")


def test_a_cycle_is_told_with_its_path() -> None:
    with pytest.raises(AitradingError) as refused:
        dependency_order({"a": ["b"], "b": ["c"], "c": ["a"], "d": []})
    assert refused.value.code == "LIFECYCLE_DEPENDENCY_CYCLE"
    path = str(refused.value.fields["path"]).split(" → ")
    assert path[0] == path[-1]
    edges = set(itertools.pairwise(path))
    assert edges == {("a", "b"), ("b", "c"), ("c", "a")}


def test_two_parts_of_one_name_are_refused() -> None:
    with pytest.raises(AitradingError) as refused:
        LifecycleManager([Part("a", []), Part("a", [])])
    assert refused.value.code == "LIFECYCLE_NAME_TAKEN"


@given(GRAPHS)
def test_any_graph_gives_an_order_or_names_a_real_fault(graph: dict[str, set[str]]) -> None:
    try:
        order = dependency_order(graph)
    except AitradingError as exc:
        path = str(exc.fields["path"]).split(" → ")
        assert all(needed in graph[name] for name, needed in itertools.pairwise(path))
        if exc.code == "LIFECYCLE_DEPENDENCY_MISSING":
            assert path[-1] not in graph
        else:
            assert path[0] == path[-1]
        return
    assert sorted(order) == sorted(graph)
    for name, needs in graph.items():
        assert all(order.index(needed) < order.index(name) for needed in needs)


@async_test
async def test_task_set_ends_its_tasks_with_its_owner() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async with TaskSet("owner") as tasks:
        tasks.start(work("a"), name="a")
        tasks.start(work("b"), name="b")
        await settle()
        assert tasks.statistics().running == 2
    assert sorted(ended) == ["a", "b"]
    assert tasks.statistics().running == 0


@async_test
async def test_a_failing_task_is_reported_and_touches_no_other() -> None:
    reported: list[tuple[str, str]] = []

    async def fail() -> None:
        raise ValueError("broken")

    async with TaskSet("owner", on_error=lambda name, exc: reported.append((name, str(exc)))) as s:
        other = s.start(asyncio.Event().wait(), name="other")
        failed = s.start(fail(), name="failing")
        await settle()
        assert failed.result() is None
        assert not other.done()
        assert (s.statistics().failed, s.statistics().started) == (1, 2)
    assert reported == [("failing", "broken")]


@async_test
async def test_work_that_is_kept_goes_on_after_a_failure_and_its_owner_says_so() -> None:
    reported: list[tuple[str, str]] = []
    clock, rounds = ManualClock(), 0

    async def work() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            if rounds <= 2:
                raise ValueError(f"round {rounds}")
            await clock.sleep(1)

    tasks = TaskSet("owner", on_error=lambda name, exc: reported.append((name, str(exc))))
    async with tasks:
        tasks.keep(work, name="work", clock=clock)
        await settle()
        assert (reported, rounds) == ([("work", "round 1")], 1)
        assert tasks.judged(ComponentState.HEALTHY) is ComponentState.DEGRADED
        assert tasks.judged(ComponentState.STOPPING) is ComponentState.STOPPING
        await clock.advance(AGAIN_FIRST_S)
        assert (reported[1:], rounds) == ([("work", "round 2")], 2)
        await clock.advance(AGAIN_FIRST_S)
        assert rounds == 2, "each failure in a row is followed by a longer pause"
        await clock.advance(AGAIN_FIRST_S + 5)
        assert rounds == 8
        assert tasks.judged(ComponentState.HEALTHY) is ComponentState.DEGRADED
        await clock.advance(AILING_S)
        assert tasks.judged(ComponentState.HEALTHY) is ComponentState.HEALTHY
        assert (len(reported), tasks.statistics().failed) == (2, 2)


@async_test
async def test_work_that_is_kept_ends_with_its_owner_and_when_it_is_done() -> None:
    clock, done = ManualClock(), asyncio.Event()

    async def work() -> None:
        await done.wait()

    async def endless() -> None:
        await asyncio.Event().wait()

    async with TaskSet("owner") as tasks:
        tasks.keep(work, name="ends", clock=clock)
        tasks.keep(endless, name="endless", clock=clock)
        done.set()
        await settle()
        assert tasks.statistics().running == 1
    assert tasks.statistics().running == 0


@async_test
async def test_cancellation_is_never_swallowed() -> None:
    async def stubborn(cleanup: asyncio.Event) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleanup.set()

    cleanup = asyncio.Event()
    async with TaskSet("owner") as tasks:
        task = tasks.start(stubborn(cleanup), name="stubborn")
        await settle()
        task.cancel()
        await settle()
        assert task.cancelled()
        assert cleanup.is_set()


@async_test
async def test_a_task_cancelled_before_its_first_step_leaves_no_warning() -> None:
    async with TaskSet("owner") as tasks:
        tasks.start(asyncio.sleep(3600), name="never")


@async_test
async def test_a_closed_or_full_set_refuses_without_leaking_the_coroutine() -> None:
    tasks = TaskSet("owner", limit=1)
    tasks.start(asyncio.Event().wait(), name="first")
    assert refusal(tasks, asyncio.sleep(0)) == "TASK_SET_FULL"
    await tasks.close()
    assert refusal(tasks, asyncio.sleep(0)) == "TASK_SET_CLOSED"


@async_test
async def test_cancelling_close_returns_although_a_task_refuses_to_end() -> None:
    release = asyncio.Event()

    async def deaf() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    tasks = TaskSet("owner")
    task = tasks.start(deaf(), name="deaf")
    await settle()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await tasks.close()
    release.set()
    await task


@async_test
async def test_a_task_may_close_its_own_set() -> None:
    tasks = TaskSet("owner")
    await asyncio.wait_for(tasks.start(tasks.close(), name="last"), 60)


def refusal(tasks: TaskSet, coro: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(AitradingError) as refused:
        tasks.start(coro, name="x")
    return refused.value.code
