"""Master keys of personal data: files in `keys/fields`, one per rotation, never in the database."""

import re
from pathlib import Path
from typing import Final

from aitrading.core.security.crypto_fields import FieldKey
from aitrading.core.security.field_encryption import MasterKeys
from aitrading.server.authority.key_provider import LocalKeyProvider

FOLDER: Final = "fields"
_NAME: Final = re.compile(r"master-(\d{4})\.key")


class MasterFolder:
    """The folder, read anew by whoever meets a number that it does not know yet."""

    def __init__(self, folder: Path, *, environment: str) -> None:
        self._provider = LocalKeyProvider(folder, environment=environment)

    def make_first(self) -> None:
        """Make master key 1 where there is none; doing it again changes nothing."""
        if not self.numbers():
            self._provider.store(_file(1), FieldKey.generate())

    def add(self) -> int:
        """Make the next master key, which wraps from now on; gives its number."""
        number = self.numbers()[-1] + 1
        self._provider.store(_file(number), FieldKey.generate())
        return number

    def numbers(self) -> list[int]:
        """Every master key that is here, the oldest first."""
        found = (_NAME.fullmatch(name) for name in self._provider.names())
        return sorted(int(match[1]) for match in found if match is not None)

    def load(self) -> MasterKeys:
        """Every master key; raises `KEY_MISSING` without any, `KEY_EXPOSED` for a readable one."""
        numbers = self.numbers() or [1]
        return MasterKeys({number: self._provider.load(_file(number)) for number in numbers})


def _file(number: int) -> str:
    return f"master-{number:04d}.key"
