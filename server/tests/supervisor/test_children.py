"""One child under supervision: order, restart, crash loop, stop."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.seeded import SeededRandomness
from aitrading.server.api_gateway.health.peer_report import PeerComponent, PeerReport
from aitrading.server.engines.proc import descendants
from aitrading.server.engines.process import process_id
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.children import Child, Means
from aitrading.server.supervisor.logs import RotatingLog
from aitrading.server.supervisor.plan import ChildSpec, Kind


class Hurried(SystemClock):
    """Waits a hundredth of what it is asked to."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 100)


@asynccontextmanager
async def supervised(folder: Path, *specs: ChildSpec) -> AsyncGenerator[dict[str, Child]]:
    means = Means(
        clock=Hurried(),
        randomness=SeededRandomness(),
        start=Births(None).start,
        changed=lambda _: None,
    )
    children = {
        spec.name: Child(spec, RotatingLog(folder / f"{spec.name}.log"), means) for spec in specs
    }
    async with asyncio.TaskGroup() as group:
        for child in children.values():
            group.create_task(child.run(children))
        try:
            yield children
        finally:
            for child in reversed(children.values()):
                await child.stop()
    for child in children.values():
        child.log.close()
        assert child.process_id is None


async def become(child: Child, state: ComponentState) -> None:
    await eventually(lambda: child.state is state, what=f"{child.name} {state}")


@async_test
async def test_children_import_at_once_but_go_in_order(
    toys: ModuleType, short_folder: Path
) -> None:
    late = toys.toy(short_folder, "late", "early")
    early = toys.toy(short_folder, "early", mode="never")
    async with supervised(short_folder, early, late) as children:
        await eventually(lambda: "imported" in children["late"].log.tail())
        await eventually(lambda: "imported" in children["early"].log.tail())
        assert children["late"].state is ComponentState.STARTING
        assert not (short_folder / "late.sock").exists()


@async_test
async def test_a_killed_child_comes_back_and_counts_it(
    toys: ModuleType, short_folder: Path
) -> None:
    async with supervised(short_folder, toys.toy(short_folder, "a")) as children:
        child = children["a"]
        await become(child, ComponentState.HEALTHY)
        first = child.process_id
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        await eventually(lambda: child.process_id not in (first, None))
        await become(child, ComponentState.HEALTHY)
        assert child.restarts == 1
        assert not first.alive


def watched(spec: ChildSpec, silence_limit_s: float) -> ChildSpec:
    """Asked all the time."""
    alive = spec.program.alive
    return replace(spec, alive=alive, watch_s=0.05, silence_limit_s=silence_limit_s)


@async_test
async def test_a_child_that_hangs_is_killed_and_comes_back(
    toys: ModuleType, short_folder: Path
) -> None:
    spec = watched(toys.toy(short_folder, "a"), silence_limit_s=0.1)
    async with supervised(short_folder, spec) as children:
        child = children["a"]
        await become(child, ComponentState.HEALTHY)
        first = child.process_id
        assert first is not None
        os.kill(first.pid, signal.SIGSTOP)
        await eventually(lambda: child.process_id not in (first, None))
        await become(child, ComponentState.HEALTHY)
        assert not first.alive


@async_test
async def test_a_child_that_answers_but_cannot_work_is_left_alone(
    toys: ModuleType, short_folder: Path
) -> None:
    spec = watched(toys.toy(short_folder, "a"), silence_limit_s=0)
    async with supervised(short_folder, spec) as children:
        child = children["a"]
        await become(child, ComponentState.HEALTHY)
        first = child.process_id
        (short_folder / "a.sock.unwell").touch()
        await become(child, ComponentState.DEGRADED)
        (short_folder / "a.sock.unwell").unlink()
        await become(child, ComponentState.HEALTHY)
        assert child.process_id == first


@async_test
async def test_a_child_that_hangs_takes_what_it_started_with_it(
    toys: ModuleType, short_folder: Path
) -> None:
    spec = watched(toys.toy(short_folder, "a", mode="family"), silence_limit_s=0.1)
    async with supervised(short_folder, spec) as children:
        child = children["a"]
        await become(child, ComponentState.HEALTHY)
        first = child.process_id
        assert first is not None
        family = [process_id(pid) for pid in descendants(first.pid)]
        assert len(family) == 2
        os.kill(first.pid, signal.SIGSTOP)
        await eventually(lambda: child.process_id not in (first, None))
        assert not any(member.alive for member in family)


@async_test
async def test_a_child_that_cannot_work_says_why_until_it_works(
    toys: ModuleType, short_folder: Path
) -> None:
    async def told() -> PeerReport:
        parts = {"store": PeerComponent(state="FAILED", detail="the disk is full")}
        return PeerReport(
            service="a", instance="", version="", state="FAILED", ready=False, components=parts
        )

    spec = replace(watched(toys.toy(short_folder, "a"), silence_limit_s=60), told=told)
    async with supervised(short_folder, spec) as children:
        child = children["a"]
        await become(child, ComponentState.HEALTHY)
        (short_folder / "a.sock.unwell").touch()
        await eventually(lambda: child.note == "store FAILED: the disk is full")
        (short_folder / "a.sock.mute").touch()
        await eventually(lambda: "it answers nothing" in child.note)
        (short_folder / "a.sock.mute").unlink()
        (short_folder / "a.sock.unwell").unlink()
        await become(child, ComponentState.HEALTHY)
        assert child.note == ""


@async_test
async def test_an_engine_that_recovers_is_waited_for_while_it_says_so(
    toys: ModuleType, short_folder: Path
) -> None:
    toy = toys.toy(short_folder, "a")
    spec = replace(toy, alive=toy.program.alive, ready_timeout_s=2.0, busy_limit_s=60.0)
    (short_folder / "a.sock.unwell").touch()
    async with supervised(short_folder, spec) as children:
        child = children["a"]
        await eventually((short_folder / "a.sock").exists)
        first, clock = child.process_id, SystemClock()
        late_ns = clock.monotonic_ns() + round((spec.ready_timeout_s + 0.3) * NS_PER_S)
        await eventually(lambda: clock.monotonic_ns() > late_ns)
        assert (child.state, child.process_id) == (ComponentState.STARTING, first)
        (short_folder / "a.sock.unwell").unlink()
        await become(child, ComponentState.HEALTHY)
        assert child.process_id == first


@async_test
async def test_a_child_waits_for_an_engine_that_hangs_and_says_so(
    toys: ModuleType, short_folder: Path
) -> None:
    engine = replace(
        watched(toys.toy(short_folder, "engine"), silence_limit_s=60), kind=Kind.ENGINE
    )
    async with supervised(
        short_folder, engine, toys.toy(short_folder, "user", "engine")
    ) as children:
        user = children["user"]
        await become(user, ComponentState.HEALTHY)
        (short_folder / "engine.sock.mute").touch()
        await become(children["engine"], ComponentState.DEGRADED)
        user.kill()
        await eventually(lambda: user.note.endswith("waits for engine"))
        assert user.state is ComponentState.STARTING
        (short_folder / "engine.sock.mute").unlink()
        await become(user, ComponentState.HEALTHY)
        assert user.restarts == 1


@async_test
async def test_ends_for_the_sake_of_a_dependency_are_no_crash_loop_even_before_it_is_noticed(
    toys: ModuleType, short_folder: Path
) -> None:
    gone = short_folder / "engine.sock.mute"
    user = toys.toy(short_folder, "user", "engine", mode=f"needs:{gone}")
    engine = replace(toys.toy(short_folder, "engine"), watch_s=3600.0)
    async with supervised(short_folder, engine, user) as children:
        child = children["user"]
        await become(child, ComponentState.HEALTHY)
        gone.touch()
        child.kill()
        await eventually(lambda: child.restarts >= 7)
        assert children["engine"].state is ComponentState.HEALTHY
        assert child.state is not ComponentState.FAILED
        gone.unlink()
        await become(child, ComponentState.HEALTHY)


@async_test
async def test_five_quick_ends_are_a_crash_loop_with_the_last_words(
    toys: ModuleType, short_folder: Path
) -> None:
    async with supervised(short_folder, toys.toy(short_folder, "a", mode="exit3")) as children:
        await become(children["a"], ComponentState.FAILED)
        assert children["a"].restarts == 5
        assert "exited with code 3" in children["a"].message
        assert "the last words" in children["a"].message


@async_test
async def test_a_child_that_never_becomes_ready_is_given_up(
    toys: ModuleType, short_folder: Path
) -> None:
    spec = replace(toys.toy(short_folder, "a", mode="never"), ready_timeout_s=0.3)
    async with supervised(short_folder, spec) as children:
        await become(children["a"], ComponentState.FAILED)
        assert "not ready within 0.3 s, 3 times" in children["a"].message


@async_test
async def test_a_configuration_error_is_not_tried_again(
    toys: ModuleType, short_folder: Path
) -> None:
    async with supervised(short_folder, toys.toy(short_folder, "a", mode="exit78")) as children:
        await become(children["a"], ComponentState.FAILED)
        assert children["a"].restarts == 1
        assert "configuration" in children["a"].message


@async_test
async def test_others_keep_running_when_one_is_given_up(
    toys: ModuleType, short_folder: Path
) -> None:
    specs = (toys.toy(short_folder, "a"), toys.toy(short_folder, "b", mode="exit1"))
    async with supervised(short_folder, *specs) as children:
        await become(children["b"], ComponentState.FAILED)
        await become(children["a"], ComponentState.HEALTHY)


@async_test
async def test_a_child_that_ends_while_it_waits_for_others_is_noticed(
    toys: ModuleType, short_folder: Path
) -> None:
    never = toys.toy(short_folder, "never", mode="never")
    waiting = toys.toy(short_folder, "waiting", "never")
    async with supervised(short_folder, never, waiting) as children:
        await eventually(lambda: "imported" in children["waiting"].log.tail())
        first = children["waiting"].process_id
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        await eventually(lambda: children["waiting"].process_id not in (first, None))


@async_test
async def test_a_stubborn_child_is_killed_when_its_time_is_up(
    toys: ModuleType, short_folder: Path
) -> None:
    async with supervised(short_folder, toys.toy(short_folder, "a", mode="stubborn")) as children:
        await become(children["a"], ComponentState.HEALTHY)
        process = children["a"].process_id
    assert process is not None
    assert not process.alive


@async_test
async def test_a_stop_while_waiting_for_a_dependency_is_immediate(
    toys: ModuleType, short_folder: Path
) -> None:
    never = toys.toy(short_folder, "never", mode="never")
    async with supervised(short_folder, never, toys.toy(short_folder, "b", "never")) as children:
        await eventually(lambda: children["b"].process_id)
    assert children["b"].state is ComponentState.STOPPED
