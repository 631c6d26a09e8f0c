"""A value that does not leak by accident."""

import hmac
from typing import Final, Generic, NoReturn, TypeVar

from typing_extensions import override

T = TypeVar("T", str, bytes)
MASK: Final = "Secret(***)"


class Secret(Generic[T]):
    """Wraps a password, key or token; `reveal()` is the only way to the value.

    It prints as a mask, refuses to be pickled and compares in constant time.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: Final = value

    def reveal(self) -> T:
        """Give the value; call it where the value is used, never to pass it on."""
        return self._value

    @override
    def __repr__(self) -> str:
        return MASK

    @override
    def __str__(self) -> str:
        return MASK

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_raw(self._value), _raw(other.reveal()))  # pyright: ignore[reportUnknownArgumentType]

    @override
    def __hash__(self) -> int:
        raise TypeError("a secret cannot be a dictionary key: its hash would tell two apart")

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is never pickled")


def _raw(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
