"""`identity/checkpoint`: the newest audit checkpoint that this client has witnessed.

The server says it with HELLO_ACK, the client keeps it over restarts and says it again with the next
HELLO: a server whose trail was rewritten meets devices that remember another one. What a checkpoint
means is for the audit trail; here it is a text that is bounded.
"""

from pathlib import Path
from typing import Final

from aitrading.client.security.device_files import FOLDER
from aitrading.core.infrastructure.files import make_private_folder, write_atomically
from aitrading.core.protocol.link.messages import CHECKPOINT_CHARS_MAX

FILE_NAME: Final = "checkpoint"


class WitnessedCheckpoint:
    """The file and what it holds; `keep` blocks."""

    def __init__(self, home: Path) -> None:
        self._path = home / FOLDER / FILE_NAME
        self.newest = self._read()

    def _read(self) -> str:
        """Nothing when there is no file, or none that was written here."""
        try:
            text = self._path.read_bytes()[: 4 * CHECKPOINT_CHARS_MAX + 1].decode()
        except (OSError, UnicodeDecodeError):
            return ""
        return text if len(text) <= CHECKPOINT_CHARS_MAX else ""

    def keep(self, checkpoint: str) -> None:
        """Remember a newer one; an empty one says nothing and changes nothing."""
        if checkpoint and checkpoint != self.newest:
            self.newest = checkpoint
            make_private_folder(self._path.parent)
            write_atomically(self._path, checkpoint.encode())
