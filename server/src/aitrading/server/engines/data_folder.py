"""Data of an engine under its major version, so that an upgrade never meets foreign files."""

from pathlib import Path

import msgspec

from aitrading.server.engines.errors import ENGINE_DATA_VERSION
from aitrading.server.engines.files import replace_private

MARKER = "engine.json"


class EngineMarker(msgspec.Struct, frozen=True, kw_only=True):
    """Says which engine wrote the data next to it."""

    engine: str
    major: int


def open_data_folder(root: Path, *, engine: str, major: int) -> Path:
    """Return `root/<major>`, made if the root is empty.

    Raises ENGINE_DATA_VERSION, changing nothing, when the data is of another engine or version.
    """
    if not check_data_folder(root, engine=engine, major=major):
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        marker = msgspec.json.encode(EngineMarker(engine=engine, major=major))
        replace_private(root / MARKER, marker, durable=True)
    folder = root / str(major)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def check_data_folder(root: Path, *, engine: str, major: int) -> bool:
    """Tell whether there is data of this version; raises ENGINE_DATA_VERSION for any other."""
    found = _read(root / MARKER)
    if found is not None and found != EngineMarker(engine=engine, major=major):
        raise ENGINE_DATA_VERSION.error(
            folder=str(root),
            engine=engine,
            found=f"{found.engine} {found.major}",
            expected=major,
        )
    return found is not None


def _read(path: Path) -> EngineMarker | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=EngineMarker)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        return EngineMarker(engine="unknown", major=0)
