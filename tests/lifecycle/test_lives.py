"""One home lives through many starts, each ended in another way; `make prove` runs it longer."""

import random
import signal
import subprocess
from pathlib import Path

import pytest
from harness.platform import (
    BIN,
    Platform,
    clean_environment,
    die_with_the_test_run,
    ports_of,
    run_cli,
    running_platform,
    wait_until,
)

from aitrading.core.testing.campaign import first_seed, points, report
from aitrading.server.engines.process import ProcessId
from aitrading.server.supervisor.leftovers import read_children

QUICK_LIVES = 2
FIRST = first_seed(9)
SECONDS_PER_LIFE = 60
PARTS = 9
COMPLETE_ENDS = ("Ctrl-C", "SIGTERM", "down", "kill -9")
EARLY_ENDS = {"Ctrl-C while starting": signal.SIGINT, "kill -9 while starting": signal.SIGKILL}
END_TIMEOUT_S = 90
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240 + SECONDS_PER_LIFE * points(QUICK_LIVES)),
]


def test_no_life_leaves_a_process_or_loses_a_tick(tmp_path: Path) -> None:
    home, newest = tmp_path / "home", 0
    tally = dict.fromkeys([*COMPLETE_ENDS, *EARLY_ENDS], 0)
    for seed in range(FIRST, FIRST + points(QUICK_LIVES)):
        walk = random.Random(seed)  # noqa: S311 - replayable
        end = walk.choice(list(tally))
        if end in EARLY_ENDS:
            interrupt_start(home, EARLY_ENDS[end], after_children=walk.randint(0, PARTS))
        else:
            newest = live(home, newest, end)
        tally[end] += 1
    with running_platform(home) as platform:
        stored = wait_until(lambda: history(platform)[newest:], what="ticks after the last start")
        assert history(platform)[: newest + len(stored)] == [*range(1, newest + len(stored) + 1)]
        report({"starts": sum(tally.values()) + 1, "ticks": newest + len(stored)} | tally)


def live(home: Path, newest: int, end: str) -> int:
    """One life up to its end; gives the newest sequence that was stored."""
    with running_platform(home) as platform:
        fresh = wait_until(
            lambda: history(platform)[newest:],
            what="a tick newer than the last life",
            timeout_s=SECONDS_PER_LIFE,
        )
        children = processes(home)
        assert len(children) == PARTS
        match end:
            case "down":
                assert run_cli("down", home=home).returncode == 0
            case "kill -9":
                platform.process.kill()
            case "SIGTERM":
                platform.process.terminate()
            case _:
                platform.process.send_signal(signal.SIGINT)
        code = platform.process.wait(END_TIMEOUT_S)
        assert code == (-signal.SIGKILL if end == "kill -9" else 0), end
        nothing_left(children)
    return newest + len(fresh)


def interrupt_start(home: Path, number: signal.Signals, *, after_children: int) -> None:
    """A start that is ended before it is complete."""
    command = [str(BIN / "aitrading"), "up", "--demo", "--home", str(home), *ports_of(home)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
        preexec_fn=die_with_the_test_run,  # noqa: PLW1509 - one system call runs in it
    ) as process:
        wait_until(
            lambda: len(processes(home)) >= after_children or process.poll() is not None,
            what=f"{after_children} children",
        )
        children = processes(home)
        process.send_signal(number)
        process.wait(END_TIMEOUT_S)
    nothing_left([*children, *processes(home)])


def history(platform: Platform, symbol: str = "EURUSD") -> list[int]:
    """Sequences of a symbol's stored ticks, page after page."""
    found: list[int] = []
    path = first_page = f"/api/v1/ticks?symbol={symbol}&limit=1000"
    while path:
        page = platform.get(path)
        found += [tick["sequence"] for tick in page["items"]]
        cursor = page["next_cursor"]
        path = f"{first_page}&cursor={cursor}" if cursor else ""
    return found


def processes(home: Path) -> list[ProcessId]:
    return [record.process for record in read_children(home / "run" / "children.json")]


def nothing_left(children: list[ProcessId]) -> None:
    wait_until(
        lambda: not any(child.alive for child in children),
        what="the end of every process",
        timeout_s=END_TIMEOUT_S,
    )
