"""A whole platform of toys in a process of its own: signals, kills, homes in use."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.server.engines.process import ProcessId
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.state import PlatformState

pytestmark = pytest.mark.integration
Start = Callable[..., Any]
FREE_PORTS = tuple(
    f"{name}=0"
    for name in (
        "gateway.port",
        "ports.nats",
        "ports.data_bridge",
        "ports.api_gateway",
        "ports.trading_engine",
        "ports.database_service",
    )
)


PATIENCE_S = 60.0


def gone(processes: dict[str, ProcessId], timeout_s: float = PATIENCE_S) -> bool:
    deadline = time.monotonic() + timeout_s
    while any(process.alive for process in processes.values()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def status(home: Path) -> PlatformState:
    return AdminClient(Home(home)).request("status", PlatformState)


def test_it_starts_answers_and_ends_in_order(toy_platform: Start) -> None:
    platform = toy_platform("well", "well", "well")
    platform.wait_ready()
    children = platform.children()
    state = status(platform.home)
    assert state.ready
    assert set(state.services) == set(children) == {"a", "b", "c"}
    assert all(child.pid and child.rss_mb for child in state.services.values())
    platform.signal(signal.SIGTERM)
    code, said = platform.finish()
    assert code == 0
    assert said.index("c                  stopped") < said.index("a                  stopped")
    assert gone(children, 0)


def test_the_admin_command_stop_ends_it(toy_platform: Start) -> None:
    platform = toy_platform("well")
    platform.wait_ready()
    AdminClient(Home(platform.home)).request("stop", type(None))
    assert platform.finish()[0] == 0
    with pytest.raises(AitradingError) as refusal:
        status(platform.home)
    assert refusal.value.code == "NOT_RUNNING"


def test_ctrl_c_during_the_start_leaves_nothing_running(toy_platform: Start) -> None:
    platform = toy_platform("well", "never", "well")
    wait_for_children(platform, 3)
    children = platform.children()
    platform.signal(signal.SIGINT)
    platform.finish()
    assert gone(children, 0)


def test_no_orphan_after_kill_9_of_the_supervisor(toy_platform: Start) -> None:
    platform = toy_platform("well", "well", "stubborn")
    platform.wait_ready()
    children = platform.children()
    platform.signal(signal.SIGKILL)
    platform.process.wait()
    orderly = {name: child for name, child in children.items() if name != "c"}
    assert gone(orderly)

    again = toy_platform("well", home=platform.home)
    again.wait_ready()
    assert gone(children, 0), "the next start ends what ignored the death of its supervisor"
    again.signal(signal.SIGTERM)
    assert "c was left by a supervisor that was killed" in again.finish()[1]


def test_a_second_up_names_the_first_and_changes_nothing(toy_platform: Start) -> None:
    first = toy_platform("well")
    first.wait_ready()
    second = toy_platform("well", home=first.home)
    code, said = second.finish()
    assert code == 3
    assert "HOME_IN_USE" in said
    assert str(first.process.pid) in said
    assert status(first.home).ready


def test_a_killed_child_is_back_and_the_state_says_so(toy_platform: Start) -> None:
    platform = toy_platform("well", "well")
    platform.wait_ready()
    before = platform.children()["a"]
    os.kill(before.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while not (state := status(platform.home)).services["a"].restarts or not state.ready:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert state.services["a"].pid != before.pid


def test_a_part_that_cannot_start_ends_the_start_with_its_last_words(toy_platform: Start) -> None:
    platform = toy_platform("well", "exit78")
    code, said = platform.finish()
    assert code == 3
    assert "CHILD_START_FAILED" in said
    assert "the last words" in said
    assert gone(platform.children(), 0)


def test_a_deep_home_works_and_leaves_no_short_folder(
    toy_platform: Start, short_folder: Path
) -> None:
    deep = short_folder / ("d" * 60) / ("e" * 60)
    platform = toy_platform("well", home=deep)
    platform.wait_ready()
    short = (deep / "run").resolve()
    assert short != deep / "run"
    assert short.stat().st_mode & 0o777 == 0o700
    assert status(deep).ready
    platform.signal(signal.SIGTERM)
    platform.finish()
    assert not short.exists()


def test_a_platform_whose_home_was_removed_ends(toy_platform: Start) -> None:
    platform = toy_platform("well", "well")
    platform.wait_ready()
    children = platform.children()
    shutil.rmtree(platform.home)
    assert platform.finish()[0] == 0
    assert gone(children, 0)


def test_all_taken_ports_are_named_with_their_holder_and_a_way_out(short_folder: Path) -> None:
    with socket.socket() as one, socket.socket() as other:
        for taken in (one, other):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        ports = [taken.getsockname()[1] for taken in (one, other)]
        done = up(short_folder / "home", f"ports.nats={ports[0]}", f"ports.api_gateway={ports[1]}")
    assert done.returncode == 3
    assert "PORT_TAKEN" in done.stderr
    assert all(str(port) in done.stderr for port in ports)
    assert str(os.getpid()) in done.stderr
    assert "aitrading up --set ports.api_gateway=0 --set ports.nats=0" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_configuration_lists_every_problem(short_folder: Path) -> None:
    home = short_folder / "home"
    home.mkdir()
    (home / "aitrading.toml").write_text(
        '[ports]\nnats = "x"\napi_gatway = 1\n[bridge]\nlinks_max = 0\n[brigde]\nlinks_max = 9\n'
    )
    done = up(home)
    assert done.returncode == 3
    assert "ports.nats" in done.stderr
    assert "did you mean api_gateway" in done.stderr
    assert "bridge.links_max" in done.stderr, "a service would have to end because of it"
    assert "did you mean bridge" in done.stderr, "nobody would ever read it"


def test_a_setting_of_a_service_given_to_up_is_examined_before_anything_starts(
    short_folder: Path,
) -> None:
    done = up(short_folder / "home", "brigde.links_max=9")
    assert done.returncode == 3
    assert "did you mean bridge.links_max" in done.stderr


def test_a_clock_behind_is_refused(short_folder: Path) -> None:
    home = short_folder / "home"
    home.mkdir()
    (home / "last-used").write_text(str((int(time.time_ns() // 10**9) + 3600) * 10**9))
    done = up(home)
    assert done.returncode == 3
    assert "CLOCK_BEHIND" in done.stderr


def test_a_home_that_is_a_file_is_refused(short_folder: Path) -> None:
    home = short_folder / "home"
    home.write_text("")
    done = up(home)
    assert done.returncode == 3
    assert "HOME_NOT_USABLE" in done.stderr


def test_a_home_in_which_others_may_write_is_refused_before_a_link_in_it_is_followed(
    short_folder: Path,
) -> None:
    home, precious = short_folder / "home", short_folder / "precious"
    for folder in (home, precious):
        folder.mkdir()
    (precious / "file").touch()
    (home / "run").symlink_to(precious)  # emptied at each start, if it were believed
    home.chmod(0o777)
    done = up(home)
    assert done.returncode == 3
    assert "HOME_NOT_USABLE" in done.stderr
    assert (precious / "file").exists()


def up(home: Path, *settings: str) -> "subprocess.CompletedProcess[str]":
    options = [f"--set={setting}" for setting in (*FREE_PORTS, *settings)]
    return subprocess.run(
        [Path(sys.executable).with_name("aitrading"), "up", f"--home={home}", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wait_for_children(platform: Any, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(platform.children()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
