"""What a process loaded from elsewhere is found, and what belongs there is not."""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from aitrading.client.security.loaded_code import executable_files, foreign_modules
from aitrading.client.security.observations import Observations

PROGRAM = """
import ctypes, importlib.util, json, sys
import aitrading.client.service, zoneinfo, sqlite3
from aitrading.client.security.observations import observe
from aitrading.client.security.process_security import harden
harden()
before = observe({}).foreign
ctypes.CDLL(sys.argv[1])
spec = importlib.util.spec_from_file_location("planted", sys.argv[2])
module = importlib.util.module_from_spec(spec)
sys.modules["planted"] = module
spec.loader.exec_module(module)
during = observe({}).foreign
import os
os.unlink(sys.argv[1])
print(json.dumps([before, during, observe({}).foreign]))
"""


def a_library() -> Path:
    """Some library of the interpreter."""
    folder = Path(sysconfig.get_path("platlib"))
    return next(folder.rglob("*.so"))


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_library_and_a_module_from_elsewhere_are_found(tmp_path: Path) -> None:
    library, module = tmp_path / "evil.so", tmp_path / "evil.py"
    shutil.copy(a_library(), library)
    module.write_text("VALUE = 1\n")
    told = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, library, module],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    before, during, after = json.loads(told)
    assert before == [], "the client itself, its packages and the system's libraries belong there"
    assert during == [str(module), str(library)]
    assert after == during, "a file that is removed is still loaded"
    assert not Observations(foreign=tuple(during)).is_quiet


def test_only_what_is_executed_and_has_a_file_counts() -> None:
    maps = (
        "7f00-7f01 r-xp 00000000 08:01 12 /opt/with blank/a.so (deleted)\n"
        "7f01-7f02 r--p 00000000 08:01 13 /opt/data.bin\n"
        "7f02-7f03 r-xp 00000000 00:00 0 [vdso]\n"
        "7f03-7f04 rwxp 00000000 00:00 0 \n"
        "7f04-7f05 r-xp 00000000 00:01 99 /memfd:hidden (deleted)\n"
    )
    assert executable_files(maps) == {"/opt/with blank/a.so", "/memfd:hidden"}


def test_a_module_beside_a_known_folder_is_foreign(tmp_path: Path) -> None:
    def module(file: str | None) -> ModuleType:
        made = ModuleType("one")
        made.__file__ = file
        return made

    known = tmp_path / "known"
    modules = {
        "inside": module(str(known / "a.py")),
        "beside": module(str(tmp_path / "known-too" / "a.py")),
        "through": module(str(known / ".." / "a.py")),
        "built in": module(None),
        "gone": None,
    }
    assert set(foreign_modules(modules, [str(known)])) == {
        str(tmp_path / "known-too" / "a.py"), str(known / ".." / "a.py")
    }  # fmt: skip
