"""Master keys: files in a folder below `keys/`, one per rotation, apart from what they protect.

`keys/fields` wraps the keys of personal data, `keys/files` those of files (`file_keys`).
"""

import re
from pathlib import Path
from typing import Final

from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto_fields import FIELD_KEY_BYTES, FieldKey
from aitrading.core.security.errors import KEY_INVALID
from aitrading.core.security.field_encryption import MasterKeys
from aitrading.server.authority.key_provider import LocalKeyProvider

FOLDER: Final = "fields"
_NAME: Final = re.compile(r"master-(\d{4})\.key")


class MasterFolder:
    """The folder, read anew by whoever meets a number that it does not know yet."""

    def __init__(self, folder: Path, *, environment: str) -> None:
        self._name = folder.name
        self._provider = LocalKeyProvider(folder, environment=environment)

    def make_first(self) -> None:
        """Make master key 1 where there is none; doing it again changes nothing."""
        if not self.numbers():
            self._provider.store(_file(1), FieldKey.generate())

    def add(self) -> int:
        """Make the next master key, which wraps from now on; gives its number."""
        number = max(self.numbers(), default=0) + 1
        self._provider.store(_file(number), FieldKey.generate())
        return number

    def numbers(self) -> list[int]:
        """Every master key that is here, the oldest first."""
        found = (_NAME.fullmatch(name) for name in self._provider.names())
        return sorted(int(match[1]) for match in found if match is not None)

    def in_order(self) -> list[Secret[bytes]]:
        """Every key, the oldest first; raises what `load` raises."""
        return [self._load(number) for number in self.numbers() or [1]]

    def load(self) -> MasterKeys:
        """Every master key; raises `KEY_MISSING` without any, `KEY_EXPOSED` for a readable one."""
        numbers = self.numbers() or [1]
        return MasterKeys({number: self._load(number) for number in numbers})

    def _load(self, number: int) -> Secret[bytes]:
        key = self._provider.load(_file(number))
        if len(key.reveal()) != FIELD_KEY_BYTES:
            expected = f"{FIELD_KEY_BYTES} bytes in {self._name}/{_file(number)}"
            raise KEY_INVALID.error(expected=expected)
        return key


def _file(number: int) -> str:
    return f"master-{number:04d}.key"
