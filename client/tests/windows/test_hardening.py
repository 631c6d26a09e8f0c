"""What a process of Windows can do for itself, as Windows (or Wine) tells when it is asked again."""

import ctypes
import os
import sys
from typing import Any

import pytest

from aitrading.client.security.loaded_code import windows_libraries
from aitrading.client.security.measures import IGNORED, Outcome
from aitrading.client.security.observations import observe
from aitrading.client.security.process_security import harden
from aitrading.client.security.secret_buffer import SecretBuffer
from aitrading.client.security.windows_security import POLICIES

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows: make test-windows")
SETTABLE = {policy.name for policy in POLICIES if not policy.cannot}


def is_wine() -> bool:
    return hasattr(library("ntdll"), "wine_get_version")


def library(name: str) -> Any:
    loader: Any = ctypes  # only Windows has it
    return loader.WinDLL(name)


def told_by_the_system(number: int) -> int:
    """Asked in a way of its own: not by the code under test."""
    kernel32 = library("kernel32")
    kernel32.GetCurrentProcess.restype = ctypes.c_void_p
    state = (ctypes.c_uint32 * 2)()
    process = ctypes.c_void_p(kernel32.GetCurrentProcess())
    kernel32.GetProcessMitigationPolicy(process, number, state, 8 if number == 0 else 4)
    return int(state[0])


def test_every_claim_is_what_the_system_tells() -> None:
    standings = {standing.name: standing for standing in harden()}
    for policy in POLICIES:
        told = told_by_the_system(policy.number) & policy.flags == policy.flags
        assert standings[policy.name].holds == told, policy.name
    assert standings["dep-header"].holds
    assert standings["aslr-header"].holds
    assert not standings["control-flow-guard-header"].holds, "python.org builds without it"
    assert standings["error-boxes"].outcome is Outcome.ENFORCED


@pytest.mark.parametrize("name", sorted(SETTABLE))
def test_a_yes_that_changed_nothing_is_no_claim(name: str) -> None:
    """Wine answers that it set a policy, and sets none: the best liar there is."""
    if not is_wine():
        pytest.skip("this Windows does what it says")
    (standing,) = [each for each in harden() if each.name == name]
    assert (standing.outcome, standing.why) == (Outcome.REFUSED, IGNORED)


def test_on_windows_what_can_be_set_is_set() -> None:
    if is_wine():
        pytest.skip("UNVERIFIED here: Wine sets no policy; for the release's checklist")
    held = {standing.name for standing in harden() if standing.holds}
    assert held >= SETTABLE - {"aslr-force-relocate", "redirection-trust"}


def test_privileges_are_gone_for_good() -> None:
    (standing,) = [each for each in harden() if each.name == "privileges"]
    assert standing.holds
    assert privileges_of_this_process() <= {23, 33}


def privileges_of_this_process() -> set[int]:
    """Asked in a way of its own: which can be switched on."""
    kernel32, advapi32 = library("kernel32"), library("advapi32")
    kernel32.GetCurrentProcess.restype = ctypes.c_void_p
    token, found = ctypes.c_void_p(), set[int]()
    process = ctypes.c_void_p(kernel32.GetCurrentProcess())
    assert advapi32.OpenProcessToken(process, 0x28, ctypes.byref(token))
    for number in range(2, 37):
        # PRIVILEGE_SET: count, control, then the privilege that is asked for, to be held enabled.
        asked = (ctypes.c_uint32 * 5)(1, 1, number, 0, 0)
        change = (ctypes.c_uint32 * 4)(1, number, 0, 0x2)
        answer = ctypes.c_int(0)
        advapi32.AdjustTokenPrivileges(token, 0, change, 0, None, None)
        assert advapi32.PrivilegeCheck(token, asked, ctypes.byref(answer))
        if answer.value:
            found.add(number)
    return found


def test_no_debugger_is_invented() -> None:
    assert observe({}).debugger == ""


def test_a_secret_lies_in_locked_memory() -> None:
    with SecretBuffer.of("correct horse") as secret:
        assert secret.is_locked
        assert secret.text() == "correct horse"
    assert secret.is_wiped


def test_the_libraries_that_are_loaded_are_listed_and_none_is_foreign() -> None:
    folder = os.path.normcase(sys.base_prefix)
    libraries = [os.path.normcase(each) for each in windows_libraries()]
    assert any(each.startswith(folder) for each in libraries), "the interpreter's own is one"
    assert any(each.endswith("kernel32.dll") for each in libraries)
    foreign = observe({}).foreign
    assert foreign, "this test is"
    assert all(each.endswith(".py") for each in foreign), "no library is, and all were listed"
