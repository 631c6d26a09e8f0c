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
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    marker_path = root / MARKER
    expected = EngineMarker(engine=engine, major=major)
    found = _read(marker_path)
    if found is None:
        replace_private(marker_path, msgspec.json.encode(expected), durable=True)
    elif found != expected:
        raise ENGINE_DATA_VERSION.error(
            folder=str(root),
            engine=engine,
            found=f"{found.engine} {found.major}",
            expected=major,
        )
    folder = root / str(major)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _read(path: Path) -> EngineMarker | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=EngineMarker)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        return EngineMarker(engine="unknown", major=0)
