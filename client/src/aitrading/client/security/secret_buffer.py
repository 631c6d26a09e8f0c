"""A secret in memory of our own: kept out of swap and core files, and wiped."""

from types import TracebackType
from typing import NoReturn, Self

from typing_extensions import override

from aitrading.client.security.locked_memory import LockedMemory
from aitrading.core.kit.secret import MASK


class SecretBuffer:
    """Bytes in locked memory that are overwritten at the end of a `with` block.

    What is given to it is moved: the giver's copy is overwritten at once. What the terminal's
    library or Python itself copies meanwhile is out of reach: the text that `text()` makes lives
    until its last user lets go of it.
    """

    __slots__ = ("_memory",)

    def __init__(self, data: bytearray) -> None:
        self._memory = LockedMemory(len(data))
        self._memory.view[:] = data
        data[:] = bytes(len(data))

    @classmethod
    def of(cls, text: str) -> Self:
        """A copy of a text that somebody typed."""
        return cls(bytearray(text.encode()))

    def text(self) -> str:
        """The secret as the terminal wants it; never kept by its caller."""
        return str(self._memory.view, "utf-8")

    @property
    def data(self) -> memoryview:
        """The bytes themselves, without a copy."""
        return self._memory.view

    def wipe(self) -> None:
        """Overwrite it with zeros, for good."""
        self._memory.wipe()

    def __len__(self) -> int:
        return self._memory.size

    @property
    def is_locked(self) -> bool:
        """The system keeps it in memory."""
        return self._memory.is_locked

    @property
    def is_wiped(self) -> bool:
        """Nothing of it is left here."""
        return not any(self._memory.view)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wipe()

    @override
    def __repr__(self) -> str:
        return MASK

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is never pickled")
