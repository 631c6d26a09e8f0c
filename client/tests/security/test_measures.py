"""Hardening is what reading back shows; nothing else counts."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from aitrading.client.security.measures import (
    IGNORED,
    Measure,
    Outcome,
    Standing,
    UnreadableError,
    enforce,
)
from aitrading.client.security.observations import observe
from aitrading.client.security.process_security import harden_a_child
from aitrading.client.security.secret_buffer import SecretBuffer
from aitrading.client.security.windows_security import POLICIES, windows_measures

linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")


@dataclass
class System:
    """A system that does what it is told, or only says so."""

    state: int = 0
    obeys: bool = True
    refuses: bool = False
    is_blind: bool = False

    def read(self) -> int:
        if self.is_blind:
            raise UnreadableError("nobody tells")
        return self.state

    def apply(self) -> None:
        if self.refuses:
            raise OSError("no")
        if self.obeys:
            self.state = 1

    def measure(self, *, settable: bool = True) -> Measure:
        return Measure(
            name="one", against="x", read=self.read, is_on=bool,
            apply=self.apply if settable else None, cannot="the compiler does it",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("system", "settable", "outcome", "why"),
    [
        (System(), True, Outcome.ENFORCED, ""),
        (System(state=1), True, Outcome.VERIFIED, ""),
        (System(), False, Outcome.UNSUPPORTED, "the compiler does it"),
        (
            System(is_blind=True),
            True,
            Outcome.UNSUPPORTED,
            "its state cannot be read: nobody tells",
        ),
        (System(refuses=True), True, Outcome.REFUSED, "no"),
        (System(obeys=False), True, Outcome.REFUSED, IGNORED),
    ],
    ids=["set", "on before", "not from here", "blind", "refused", "a yes that changed nothing"],
)
def test_a_measure_holds_when_reading_it_back_says_so(
    system: System, settable: bool, outcome: Outcome, why: str
) -> None:
    standing = enforce(system.measure(settable=settable))
    assert (standing.outcome, standing.why) == (outcome, why)
    assert standing.holds == (system.state == 1)


@pytest.mark.parametrize(
    ("refuses", "outcome", "why"),
    [(False, Outcome.UNSUPPORTED, "asked for; nobody tells"), (True, Outcome.REFUSED, "no")],
)
def test_what_no_system_tells_is_asked_for_and_claimed_by_nobody(
    refuses: bool, outcome: Outcome, why: str
) -> None:
    system = System(is_blind=True, refuses=refuses)
    standing = enforce(replace(system.measure(), untold="nobody tells"))
    assert (standing.outcome, standing.why, standing.holds) == (outcome, why, False)
    assert system.state == (0 if refuses else 1)


def test_what_windows_does_not_tell_is_marked_and_set_all_the_same() -> None:
    untold = {measure.name: measure for measure in windows_measures() if measure.untold}
    assert list(untold) == ["dll-directories", "heap-termination"]
    assert all(measure.apply is not None for measure in untold.values())


@pytest.mark.parametrize("outcome", [Outcome.ENFORCED, Outcome.VERIFIED])
def test_a_claim_without_a_reading_cannot_be_made(outcome: Outcome) -> None:
    with pytest.raises(ValueError, match="not read back"):
        Standing(name="one", against="x", outcome=outcome)


@linux
def test_a_linux_process_is_hardened_and_the_kernel_confirms_it(tmp_path: Path) -> None:
    rows = {row["name"]: row for row in harden_a_child(tmp_path, confined=True)}
    # What depends on the machine (aslr, memory-lock) is told; what we set must hold.
    for name in (
        "core-file",
        "dumpable",
        "no-new-privileges",
        "ambient-capabilities",
        "ends-with-client",
    ):
        assert rows[name]["outcome"] in {"enforced", "verified"}, rows[name]
    program = (
        "from aitrading.client.security.process_security import harden\n"
        "harden()\n"
        "print(open('/proc/self/limits').read(), open('/proc/self/status').read())\n"
        "import os; print(os.stat('/proc/self/mem').st_uid)"
    )
    told = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert "Max core file size        0                    0 " in told
    assert "NoNewPrivs:\t1" in told
    assert told.splitlines()[-1] == "0", "its memory belongs to root from then on"


@linux
@pytest.mark.skipif(sys.platform == "linux" and os.geteuid() != 0, reason="needs two users")
@pytest.mark.parametrize(("harden", "answer"), [("", "read"), ("harden()", "kept out")])
def test_other_programs_of_the_same_user_cannot_read_a_hardened_process(
    harden: str, answer: str
) -> None:
    """As nobody: who did not harden is read, so that the test is known to see something."""
    watched_program = (
        "import os, sys, ctypes\n"
        "from aitrading.client.security import linux_security\n"
        "from aitrading.client.security.process_security import harden\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"  # as a program that nobody started
        f"{harden}\n"
        "print('ready', flush=True); sys.stdin.readline()"
    )
    reader = (
        "import os, sys\nos.setgid(65534); os.setuid(65534)\n"
        "try:\n    open(f'/proc/{sys.argv[1]}/maps', 'rb').read(); print('read')\n"
        "except PermissionError: print('kept out')"
    )
    with subprocess.Popen(
        [sys.executable, "-I", "-c", watched_program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as watched:  # fmt: skip
        assert watched.stdout is not None
        assert watched.stdout.readline() == "ready\n"
        told = subprocess.run(
            [sys.executable, "-I", "-c", reader, str(watched.pid)],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        watched.communicate("\n")
    assert told == answer


@pytest.mark.skipif(sys.platform == "win32", reason="about other systems")
def test_elsewhere_no_measure_of_windows_claims_anything() -> None:
    standings = [enforce(measure) for measure in windows_measures()]
    assert {standing.outcome for standing in standings} == {Outcome.UNSUPPORTED}
    assert not any(standing.holds for standing in standings)
    names = [standing.name for standing in standings]
    assert len(set(names)) == len(names)
    assert {"dep", "aslr", "control-flow-guard"} <= {policy.name for policy in POLICIES}


@linux
def test_a_debugger_is_seen() -> None:
    program = (
        "import json\nfrom aitrading.client.security.observations import observe\n"
        "print(json.dumps(observe({}).debugger))"
    )
    tracer = (
        "import ctypes, os, sys\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    ctypes.CDLL(None).ptrace(0, 0, 0, 0)\n"
        f"    os.execv(sys.executable, [sys.executable, '-I', '-c', {program!r}])\n"
        "while True:\n"
        "    _, status = os.waitpid(pid, 0)\n"
        "    if os.WIFEXITED(status): break\n"
        "    ctypes.CDLL(None).ptrace(7, pid, 0, 0)"
    )
    told = subprocess.run(
        [sys.executable, "-I", "-c", tracer], capture_output=True, text=True, check=True
    ).stdout
    assert "traces it" in json.loads(told)


def test_only_names_of_suspicious_variables_are_told() -> None:
    seen = observe({"LD_PRELOAD": "evil.so", "HOME": "/root", "SSLKEYLOGFILE": ""})
    assert seen.environment == ("LD_PRELOAD",)
    assert not seen.is_quiet
    assert observe({}).environment == ()


def test_a_secret_is_moved_into_locked_memory_and_wiped_where_it_was() -> None:
    given = bytearray(b"correct horse battery")
    secret = SecretBuffer(given)
    assert not any(given)
    assert secret.text() == "correct horse battery"
    if sys.platform == "linux":
        assert secret.is_locked
    secret.wipe()
    assert secret.is_wiped
