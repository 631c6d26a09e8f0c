"""`monitor/alerts.sealed`: alerts that have not ended, over restarts of the client."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from aitrading.core.infrastructure.files import make_private_folder, write_atomically
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.protocol.device_notes import AlertNote
from aitrading.core.security.file_sealing import FileKeys

FILE_NAME: Final = "alerts.sealed"
Key = tuple[str, str]
"""Symbol and rule."""

_log = get_logger(__name__)


class OpenAlerts:
    """The file; everything blocks."""

    def __init__(self, folder: Path, keys: FileKeys) -> None:
        self._path = folder / FILE_NAME
        self._keys = keys

    def load(self) -> dict[Key, AlertNote]:
        """What was open; nothing when the file cannot be used, which is told."""
        try:
            data = self._keys.open(self._path.read_bytes(), name=FILE_NAME)
            notes = msgspec.json.decode(data, type=list[AlertNote])
        except FileNotFoundError:
            return {}
        except (OSError, AitradingError, msgspec.DecodeError) as exc:
            _log.warning("open alerts of the last run are not known", error=str(exc))
            return {}
        return {(note.symbol, note.rule): note for note in notes}

    def save(self, alerts: Mapping[Key, AlertNote]) -> None:
        """Replace the file."""
        make_private_folder(self._path.parent)
        data = msgspec.json.encode(list(alerts.values()))
        write_atomically(self._path, self._keys.seal(data, name=FILE_NAME))
