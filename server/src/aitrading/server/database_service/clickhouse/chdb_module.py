"""Loads the engine of the `chdb` wheel alone, without the package around it.

`import chdb` costs a second and pulls in pyarrow and pandas; the engine itself is one shared
library, loaded in 0.1 s. Its signal handlers are switched off: they would take over SIGTERM.
"""

import ctypes
import importlib.machinery
import importlib.util
from pathlib import Path
from typing import Any, Final

from aitrading.server.database_service.clickhouse.errors import CLICKHOUSE_UNAVAILABLE

_LIBRARY: Final = "_chdb.abi3.so"
_MADV_DONTNEED: Final = 4


def load_engine() -> Any:
    """The engine's module; raises `CLICKHOUSE_UNAVAILABLE` where the wheel has none."""
    path = _library_path()
    loader = importlib.machinery.ExtensionFileLoader("_chdb", str(path))
    spec = importlib.util.spec_from_file_location("_chdb", path, loader=loader)
    if spec is None:
        raise CLICKHOUSE_UNAVAILABLE.error(reason="the engine's library cannot be loaded")
    engine: Any = importlib.util.module_from_spec(spec)
    loader.exec_module(engine)
    engine.set_signal_handlers_enabled(0)
    return engine


def release_start_up_pages() -> None:
    """Give back the code pages that only the engine's start needed (about 100 MB).

    They are clean pages of a read-only file mapping: what is needed again is mapped again.
    """
    library = str(_library_path())
    libc = ctypes.CDLL(None, use_errno=True)
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions, *_, name = line.split(maxsplit=5)
        if permissions == "r-xp" and name == library:
            first, last = (int(address, 16) for address in span.split("-"))
            libc.madvise(
                ctypes.c_void_p(first), ctypes.c_size_t(last - first), ctypes.c_int(_MADV_DONTNEED)
            )


def _library_path() -> Path:
    spec = importlib.util.find_spec("chdb")
    if spec is None or spec.origin is None:
        raise CLICKHOUSE_UNAVAILABLE.error(reason="the wheel `chdb` is not installed")
    return Path(spec.origin).with_name(_LIBRARY)
