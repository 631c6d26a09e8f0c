"""Code that this process has loaded from elsewhere than its installation, interpreter and system.

The signed list covers files; this looks at what runs: libraries that are mapped for execution, and
modules of Python. It is told and nothing is done against it: a user may want a library of his own,
and who can load code into a process can also hide it. Code without a file is not seen.
"""

import ctypes
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

import aitrading.client
import aitrading.core
from aitrading.client.security.measures import UnreadableError
from aitrading.client.security.windows_library import kernel32, last_error, this_process

SYSTEM_FOLDERS: Final = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64",
                         "/usr/local/lib")  # fmt: skip
MODULES_MAX: Final = 4_096
PATH_CHARS_MAX: Final = 32_768
UNREADABLE: Final = "the list of loaded libraries cannot be read"
_MAPS: Final = Path("/proc/self/maps")
_GONE: Final = " (deleted)"


def foreign_code() -> tuple[str, ...]:
    """The paths, in order; never raises."""
    known = _known_folders()
    found = set(foreign_modules(sys.modules, known))
    try:
        found.update(each for each in _libraries() if not _is_below(each, known))
    except (OSError, UnreadableError):
        found.add(UNREADABLE)
    return tuple(sorted(found))


def foreign_modules(
    modules: Mapping[str, ModuleType | None], known: Iterable[str]
) -> Iterable[str]:
    """The files of modules of Python that lie in none of these folders."""
    for module in list(modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not _is_below(os.path.abspath(file), known):  # noqa: PTH100 - keeps links
            yield file


def executable_files(maps: str) -> set[str]:
    """The files that are mapped for execution; one that was replaced meanwhile is still itself."""
    found: set[str] = set()
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/"):  # noqa: PLR2004 - as the kernel writes it
            found.add(fields[5].removesuffix(_GONE))
    return found


def _known_folders() -> frozenset[str]:
    """Installation with its packages, interpreter and system, with and without links."""
    own = [*aitrading.client.__path__, *aitrading.core.__path__]
    folders = [str(Path(each).parents[1]) for each in own]
    folders += [
        str(Path(msgspec.__file__).parents[1]),
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
    ]
    if sys.platform == "win32":
        folders.append(_windows_folder())
    else:
        folders += [*SYSTEM_FOLDERS, os.path.realpath(sys.executable)]
    return frozenset(
        os.path.normcase(each) for path in folders for each in (path, os.path.realpath(path))
    )


def _is_below(path: str, folders: Iterable[str]) -> bool:
    path = os.path.normcase(path)
    return any(path == each or path.startswith(each.rstrip(os.sep) + os.sep) for each in folders)


def _libraries() -> set[str]:
    if sys.platform == "win32":
        return set(windows_libraries())
    if not _MAPS.exists():
        raise UnreadableError("this system does not tell")
    return executable_files(os.fsdecode(_MAPS.read_bytes()))


def _windows_folder() -> str:
    text = ctypes.create_unicode_buffer(PATH_CHARS_MAX)
    kernel32().GetSystemWindowsDirectoryW(text, PATH_CHARS_MAX)
    return text.value


def windows_libraries() -> Iterable[str]:
    """Every library of this process, as Windows lists them; raises `OSError`."""
    library: Any = kernel32()
    process = this_process(library)
    handles = (ctypes.c_void_p * MODULES_MAX)()
    needed = ctypes.c_uint32(0)
    if not library.K32EnumProcessModules(
        process, ctypes.byref(handles), ctypes.sizeof(handles), ctypes.byref(needed)
    ):
        raise last_error("the list of libraries")
    text = ctypes.create_unicode_buffer(PATH_CHARS_MAX)
    for handle in handles[: needed.value // ctypes.sizeof(ctypes.c_void_p)]:
        if library.GetModuleFileNameW(ctypes.c_void_p(handle), text, PATH_CHARS_MAX):
            yield text.value
