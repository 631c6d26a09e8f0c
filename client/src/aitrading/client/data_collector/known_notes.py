"""`collector/known.sealed`: which entries were queued already, by their content.

It spares work and traffic; what it forgets is recognised by the server.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from aitrading.core.infrastructure.files import make_private_folder, write_atomically
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.device_notes import NewsNote
from aitrading.core.security.file_sealing import FileKeys

FILE_NAME: Final = "known.sealed"
KNOWN_MAX: Final = 20_000
_ID_BYTES: Final = 16


class KnownNotes:
    """The newest ids, in the order in which they came; `load` and `save` block."""

    def __init__(self, folder: Path, keys: FileKeys) -> None:
        self._path = folder / FILE_NAME
        self._keys = keys
        self._known: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def load(self) -> None:
        """What an earlier run knew; nothing when the file cannot be used."""
        try:
            data = self._keys.open(self._path.read_bytes(), name=FILE_NAME)
        except (OSError, AitradingError):
            return
        whole = len(data) - len(data) % _ID_BYTES
        self._known = {data[at : at + _ID_BYTES]: None for at in range(0, whole, _ID_BYTES)}

    def new_of(self, notes: Iterable[NewsNote]) -> list[NewsNote]:
        """Those that were not queued yet, each once."""
        return list({note.id: note for note in notes if note.id.bytes not in self._known}.values())

    def add(self, note: NewsNote) -> None:
        """It is in the queue now."""
        self._known[note.id.bytes] = None
        if len(self._known) > KNOWN_MAX:
            self._known.pop(next(iter(self._known)))

    def save(self) -> None:
        """Keep it over restarts."""
        make_private_folder(self._path.parent)
        write_atomically(self._path, self._keys.seal(b"".join(self._known), name=FILE_NAME))
