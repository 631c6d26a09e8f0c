"""How `aitrading up` ends when it was interrupted, whenever that was; imports nothing."""

from typing import Final

UNAVAILABLE: Final = 3
INTERRUPTED: Final = "Interrupted; all is ended."
