"""Hardening of a Windows process, by what it may set itself and what it can read back.

DEP and ASLR come from the interpreter's own header, Control Flow Guard from its compiler: no
program can switch those on for itself while it runs, and none is claimed here. Everything is
`ctypes`: no further package, no administrator.
"""

import ctypes
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aitrading.client.security.locked_memory import LockedMemory
from aitrading.client.security.measures import Measure, UnreadableError
from aitrading.client.security.windows_library import kernel32, last_error, this_process
from aitrading.client.security.windows_token import privileges_measure

NX_COMPAT: Final = 0x0100
DYNAMIC_BASE: Final = 0x0040
HIGH_ENTROPY: Final = 0x0020
GUARD_CF: Final = 0x4000
NO_ERROR_BOXES: Final = 0x0003
NO_HEAP_IN_REPORTS: Final = 0x0001
LOCKED_PAGE: Final = 1 << 22
VALID_PAGE: Final = 1
SAFE_DLL_DIRECTORIES: Final = 0x1000
END_WHEN_DAMAGED: Final = 1
_NOT_TOLD: Final = "Windows has no function that tells whether it is on"
_PE_OFFSET_AT: Final = 0x3C
_CHARACTERISTICS_AT: Final = 24 + 70
"""Of the optional header behind signature and file header; the same place in PE32 and PE32+."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One mitigation policy of Windows: its number, the flags that count, and what is against it."""

    name: str
    number: int
    flags: int
    against: str
    cannot: str = ""
    """Empty when a running program may set it."""


POLICIES: Final = (
    Policy(name="dep", number=0, flags=0x1, against="code that is smuggled in as data",
           cannot="comes from the interpreter's header and is always on for 64-bit programs; this "
           "system does not confirm it"),
    Policy(name="aslr", number=1, flags=0x1 | 0x4,
           against="exploits that know where things lie",
           cannot="bottom-up and high-entropy placement come from the interpreter's header"),
    Policy(name="aslr-force-relocate", number=1, flags=0x2,
           against="libraries that insist on one address"),
    Policy(name="control-flow-guard", number=7, flags=0x1,
           against="jumps to where no function begins",
           cannot="a compiler builds it in: no program can switch it on for itself, and the "
           "interpreter of python.org is built without it"),
    Policy(name="extension-points", number=6, flags=0x1,
           against="old ways to load foreign libraries into every window"),
    Policy(name="strict-handles", number=3, flags=0x1 | 0x2,
           against="use of handles that were closed"),
    Policy(name="image-load", number=10, flags=0x1 | 0x2 | 0x4,
           against="libraries from the network, of low trust, or planted beside the program"),
    Policy(name="fonts", number=9, flags=0x1, against="fonts that attack the system's parser"),
    Policy(name="redirection-trust", number=16, flags=0x1,
           against="links planted by users with fewer rights"),
    Policy(name="dynamic-code", number=2, flags=0x1, against="code that is made at run time",
           cannot="left off: ctypes makes callbacks at run time"),
    Policy(name="signed-images-only", number=8, flags=0x1,
           against="libraries that Microsoft did not sign",
           cannot="left off: the interpreter's and every package's libraries would be refused"),
    Policy(name="child-processes", number=13, flags=0x1, against="programs that it starts",
           cannot="left off: the client starts terminals again when they end"),
)  # fmt: skip


def windows_measures() -> tuple[Measure, ...]:
    """Every measure of this system; elsewhere each is `unsupported`."""
    return (*(_policy_measure(policy) for policy in POLICIES), *_header_measures(), *_others())


def _policy_measure(policy: Policy) -> Measure:
    def set_it() -> None:
        flags = ctypes.c_uint32(_get_policy(policy) | policy.flags)
        library = kernel32()
        if not library.SetProcessMitigationPolicy(policy.number, ctypes.byref(flags), 4):
            raise last_error(policy.name)

    return Measure(
        name=policy.name,
        against=policy.against,
        read=lambda: _get_policy(policy),
        is_on=_all_of(policy.flags),
        apply=None if policy.cannot else set_it,
        cannot=policy.cannot,
    )


def _header_measures() -> tuple[Measure, ...]:
    wanted = (
        ("dep-header", NX_COMPAT, "the interpreter allows code in data"),
        ("aslr-header", DYNAMIC_BASE | HIGH_ENTROPY, "the interpreter asks for no random place"),
        ("control-flow-guard-header", GUARD_CF, "the interpreter was built without it"),
    )
    return tuple(
        Measure(
            name=name, against="an interpreter that was built without it",
            read=_characteristics, is_on=_all_of(flags), cannot=cannot,
        )
        for name, flags, cannot in wanted
    )  # fmt: skip


def _others() -> tuple[Measure, ...]:
    return (
        privileges_measure(),
        Measure(
            name="error-boxes", against="a crash that waits with everything in memory",
            read=lambda: int(kernel32().GetErrorMode()), is_on=_all_of(NO_ERROR_BOXES),
            apply=lambda: _ignore(kernel32().SetErrorMode(NO_ERROR_BOXES)),
        ),
        Measure(
            name="crash-reports-without-heap", against="secrets in reports to Microsoft",
            read=_report_flags, is_on=_all_of(NO_HEAP_IN_REPORTS), apply=_set_report_flags,
        ),
        Measure(
            name="dll-directories", against="libraries planted in the present folder",
            read=_not_told, is_on=bool, apply=_set_dll_directories, untold=_NOT_TOLD,
        ),
        Measure(
            name="heap-termination", against="going on with a damaged heap",
            read=_not_told, is_on=bool, apply=_set_heap_termination, untold=_NOT_TOLD,
        ),
        Measure(
            name="memory-lock", against="secrets in the page file", read=_lock_a_page,
            is_on=lambda attributes: bool(attributes & LOCKED_PAGE),
            cannot="the system does not lock pages, or does not tell",
        ),
    )  # fmt: skip


def _all_of(flags: int) -> Callable[[int], bool]:
    return lambda state: state & flags == flags


def _get_policy(policy: Policy) -> int:
    library = kernel32()
    # DEP alone has a second member after the flags.
    state = (ctypes.c_uint32 * 2)(0, 0)
    size = 8 if policy.number == 0 else 4
    process = this_process(library)
    done = library.GetProcessMitigationPolicy(process, policy.number, ctypes.byref(state), size)
    if not done:
        raise last_error(f"reading {policy.name}")
    return int(state[0])


def _characteristics() -> int:
    """What the program's header in memory says of it."""
    base = kernel32().GetModuleHandleW(None)
    (place,) = struct.unpack("<I", ctypes.string_at(base + _PE_OFFSET_AT, 4))
    field = ctypes.string_at(base + place + _CHARACTERISTICS_AT, 2)
    return int.from_bytes(field, "little")


def _report_flags() -> int:
    library, flags = kernel32(), ctypes.c_uint32(0)
    process = this_process(library)
    try:
        answer = library.WerGetFlags(process, ctypes.byref(flags))
    except AttributeError as exc:
        raise UnreadableError("this Windows has no WerGetFlags") from exc
    if answer:
        raise OSError(f"WerGetFlags answered {answer & 0xFFFFFFFF:#x}")
    return int(flags.value)


def _set_report_flags() -> None:
    answer = kernel32().WerSetFlags(ctypes.c_uint32(NO_HEAP_IN_REPORTS))
    if answer:
        raise OSError(f"WerSetFlags answered {answer & 0xFFFFFFFF:#x}")


def _not_told() -> int:
    raise UnreadableError(_NOT_TOLD)


def _set_dll_directories() -> None:
    """Libraries from the system's and the program's folders alone."""
    if not kernel32().SetDefaultDllDirectories(ctypes.c_uint32(SAFE_DLL_DIRECTORIES)):
        raise last_error("dll-directories")


def _set_heap_termination() -> None:
    """A damaged heap ends the process."""
    if not kernel32().HeapSetInformation(None, END_WHEN_DAMAGED, None, ctypes.c_size_t(0)):
        raise last_error("heap-termination")


def _lock_a_page() -> int:
    """What the system says of a page that we locked."""
    library, page = kernel32(), LockedMemory(1)
    if not page.is_locked:
        return 0
    address = ctypes.addressof(ctypes.c_char.from_buffer(page.view))
    told = (ctypes.c_size_t * 2)(address, 0)
    process = this_process(library)
    done = library.K32QueryWorkingSetEx(process, ctypes.byref(told), ctypes.sizeof(told))
    if not done:
        raise last_error("telling of a locked page")
    return int(told[1]) if told[1] & VALID_PAGE else 0


def _ignore(_answer: object) -> None:
    """What a call answers is not believed; it is read back."""
