"""What the client and its workers gave up is tried from inside, by a process that wants it."""

import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from aitrading.client.security import confinement
from aitrading.client.security.measures import Outcome, UnreadableError, enforce
from aitrading.client.terminal.pool.opening import Opening, decoded
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.core.kit.clock import SystemClock

if sys.platform != "linux":
    pytest.skip("Landlock is Linux's", allow_module_level=True)

from aitrading.client.security import landlock


def has_landlock() -> bool:
    try:
        landlock.require(landlock.SIGNALS_SINCE)
    except UnreadableError:
        return False
    return True


landlocked = pytest.mark.skipif(
    not has_landlock(), reason="this kernel has no Landlock, or an old one"
)
INTRUDER = """
import os, socket, subprocess, sys
from pathlib import Path
from aitrading.client.security.confinement import WorkerNeeds
from aitrading.client.security.process_security import confine, harden_worker

home, outside, port, kind = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if kind != "free":
    assert all(one.holds for one in confine(home, enabled=True))
if kind == "worker":
    assert all(one.holds for one in harden_worker("", WorkerNeeds(files=(home / "needed",))))

def attempt(name, act):
    try:
        act()
        print(name)
    except PermissionError:
        pass

attempt("write-home", lambda: (home / "new").write_text("x"))
attempt("move-home", lambda: (home / "moved").replace(home / "below" / "moved"))
attempt("write", lambda: (outside / "new").write_text("x"))
attempt("change", lambda: (outside / "file").open("r+").close())
attempt("cut", lambda: os.truncate(outside / "file", 0))
attempt("remove", lambda: (outside / "spare").unlink())
attempt("child", lambda: subprocess.run(
    ["/bin/sh", "-c", f"echo x > {outside}/by-child"], stderr=subprocess.DEVNULL, check=False))
attempt("read", lambda: (outside / "file").read_text())
attempt("read-needed", lambda: (home / "needed").read_text())
attempt("import", lambda: __import__("zoneinfo").ZoneInfo("UTC"))
attempt("connect", lambda: socket.create_connection(("127.0.0.1", port)).close())
attempt("listen", lambda: socket.create_server(("127.0.0.1", 0)).close())
attempt("signal", lambda: os.kill(os.getppid(), 0))
"""
CLOCK = SystemClock()
EVERYTHING = {
    "write-home", "move-home", "write", "change", "cut", "remove", "child", "read", "read-needed",
    "import", "connect", "listen", "signal",
}  # fmt: skip


@landlocked
@pytest.mark.parametrize(
    ("kind", "gets_through", "by_child"),
    [
        ("free", EVERYTHING, True),
        ("client", EVERYTHING - {"write", "change", "cut", "remove"}, False),
        ("worker", {"child", "read-needed", "import"}, False),
    ],
)
def test_what_was_given_up_is_forbidden_and_the_rest_is_not(
    tmp_path: Path, kind: str, gets_through: set[str], by_child: bool
) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    for folder in (home / "below", outside):
        folder.mkdir(parents=True)
    for file in (home / "needed", home / "moved", outside / "file", outside / "spare"):
        file.write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = subprocess.run(
            [sys.executable, "-I", "-c", INTRUDER, home, outside, str(server.getsockname()[1]), kind],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    assert set(told.split()) == gets_through
    assert (outside / "by-child").exists() == by_child, "children are confined alike"


@landlocked
def test_nothing_is_given_up_beside_threads_that_would_keep_it(tmp_path: Path) -> None:
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        (standing,) = map(enforce, confinement.client_confinement(tmp_path))
    finally:
        done.set()
        other.join()
    assert (standing.outcome, standing.holds) == (Outcome.REFUSED, False)
    assert "other threads" in standing.why
    (tmp_path.parent / "still-free").write_text("x")


@landlocked
def test_what_is_switched_off_is_told_with_the_setting(tmp_path: Path) -> None:
    off = Opening.of(TerminalKind.SIM, SimulatedTerminalSettings(), CLOCK, confined=False).needs
    measures = (
        *confinement.client_confinement(tmp_path, why_not=confinement.SWITCHED_OFF),
        *confinement.worker_confinement(off),
    )
    standings = [enforce(measure) for measure in measures]
    assert tuple(one.name for one in standings) == confinement.NAMES
    for standing in standings:
        assert confinement.is_unconfined(standing)
        assert standing.why == "switched off by the setting confinement.enabled"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"FILES_SINCE": 1_000}, "takes 1000 for this"),
        ({"EVERYONE_WRITES": Path("/nowhere")}, "a trial shows nothing"),
    ],
)
def test_what_cannot_be_tried_is_claimed_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], reason: str
) -> None:
    """An older kernel, and a device that permissions close: no "forbidden" comes from Landlock."""
    for name, value in change.items():
        monkeypatch.setattr(confinement, name, value)
    (standing,) = map(enforce, confinement.client_confinement(tmp_path))
    assert standing.outcome is Outcome.UNSUPPORTED
    assert reason in standing.why or "no Landlock" in standing.why


def test_a_worker_keeps_what_its_settings_need(tmp_path: Path) -> None:
    def needs(kind: TerminalKind = TerminalKind.SIM, **told: Path) -> confinement.WorkerNeeds:
        opening = Opening.of(kind, SimulatedTerminalSettings(**told), CLOCK)
        assert decoded(opening.encoded()) == opening
        return opening.needs

    assert needs() == confinement.WorkerNeeds()
    assert needs(replay=tmp_path, faults=tmp_path / "a").files == (tmp_path, tmp_path / "a")
    assert needs(accounts=tmp_path / "b").files == (tmp_path / "b",)
    twin = needs(process=tmp_path / "not-yet" / "twin.json")
    assert twin.files == (tmp_path,), "the file is made anew whenever the twin starts"
    assert replace(twin, files=(), network="") == needs()
    assert twin.network
    assert needs(TerminalKind.MT5).all
