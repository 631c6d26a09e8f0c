"""A secret in memory of our own, which can be wiped."""

from types import TracebackType
from typing import NoReturn, Self

from typing_extensions import override

from aitrading.core.kit.secret import MASK


class SecretBuffer:
    """Bytes that are overwritten at the end of a `with` block.

    What the terminal's library or Python itself copies meanwhile is out of reach: the text that
    `text()` makes lives until its last user lets go of it.
    """

    __slots__ = ("_data",)

    def __init__(self, data: bytearray) -> None:
        self._data = data

    @classmethod
    def of(cls, text: str) -> Self:
        """A copy of a text that somebody typed."""
        return cls(bytearray(text.encode()))

    def text(self) -> str:
        """The secret as the terminal wants it; never kept by its caller."""
        return self._data.decode()

    @property
    def data(self) -> memoryview:
        """The bytes themselves, without a copy."""
        return memoryview(self._data)

    def wipe(self) -> None:
        """Overwrite it with zeros, for good."""
        self._data[:] = bytes(len(self._data))

    def __len__(self) -> int:
        return len(self._data)

    @property
    def is_wiped(self) -> bool:
        """Nothing of it is left here."""
        return not any(self._data)

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
