"""Frames and values between the processes of a terminal: its workers, a twin, and who asks them.

A frame is four bytes of length, big-endian, and that many bytes of MessagePack. Structs, arrays,
tuples and datetimes keep their type; a value of any other type arrives as one that every function
refuses, so that a wrong argument is answered as in one process.
"""

import socket
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from aitrading.client.terminal.api.arrays import RATES_DTYPE, TICKS_DTYPE
from aitrading.client.terminal.api.structs import STRUCTS

FRAME_BYTES_MAX: Final = 512 * 1024 * 1024
_LENGTH: Final = struct.Struct(">I")
HEAD_BYTES: Final = _LENGTH.size
_LAYOUTS: Final = {"ticks": TICKS_DTYPE, "rates": RATES_DTYPE}
_STRUCTS: Final[Mapping[str, Any]] = {one.__name__: one for one in STRUCTS}
_FOREIGN: Final[Mapping[str, None]] = {"x": None}
_WORD: Final = 1 << 64


class Foreign:
    """Stands for a value whose type does not travel."""


def frame(message: object) -> bytes:
    """One message as it travels."""
    body = msgspec.msgpack.encode(packed(message))
    return _LENGTH.pack(len(body)) + body


def body_bytes(head: bytes) -> int:
    """How many bytes follow this head; raises `ConnectionError` for more than a frame may have."""
    (length,) = _LENGTH.unpack(head)
    if length > FRAME_BYTES_MAX:
        raise ConnectionError(f"a frame of {length} bytes")
    return int(length)


def message_of(body: bytes) -> Any:
    """The message in a frame's body; raises `ConnectionError` for what is none."""
    try:
        return unpacked(msgspec.msgpack.decode(body))
    except (msgspec.MsgspecError, LookupError, StopIteration, TypeError, ValueError) as exc:
        raise ConnectionError(f"no message: {exc}") from exc


def send(connection: socket.socket, message: object) -> None:
    """Send one message; raises `OSError`."""
    connection.sendall(frame(message))


def receive(connection: socket.socket) -> Any:
    """Wait for one message; raises `OSError`, also for what is no message."""
    return message_of(_exactly(connection, body_bytes(_exactly(connection, HEAD_BYTES))))


def packed(value: object) -> object:
    """The value in what MessagePack has."""
    match value:
        case None | bool():
            return value
        case int():
            return int(value) if -_WORD // 2 <= value < _WORD else _FOREIGN
        case float():
            return float(value)
        case str():
            return value if value.isascii() or _is_unicode(value) else _FOREIGN
        case _:
            return _packed_many(value)


def _is_unicode(text: str) -> bool:
    """Half of a surrogate pair is in a str, but in no UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _packed_many(value: object) -> object:
    match value:
        case np.ndarray():
            return _packed_array(cast("NDArray[np.void]", value))
        case tuple():
            items = [packed(item) for item in cast("tuple[object, ...]", value)]
            name = type(cast("object", value)).__name__
            return {"s": name, "v": items} if name in _STRUCTS else {"t": items}
        case list():
            return [packed(item) for item in cast("list[object]", value)]
        case dict():
            pairs = cast("dict[object, object]", value).items()
            return {"m": [[packed(key), packed(item)] for key, item in pairs]}
        case datetime():
            return _packed_moment(value)
        case _:
            return _FOREIGN


def _packed_moment(moment: datetime) -> object:
    try:
        return {"w": moment.timestamp()}
    except (OverflowError, ValueError, OSError):  # its zone leads out of the calendar
        return _FOREIGN


def unpacked(value: Any) -> Any:
    """The value `packed` was given."""
    if isinstance(value, list):
        return [unpacked(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    plain = cast("dict[str, Any]", value)
    kind = next(iter(plain))
    return _UNPACKERS[kind](plain)


def _packed_array(array: NDArray[np.void]) -> object:
    for name, layout in _LAYOUTS.items():
        if array.dtype == layout:
            return {"a": name, "b": array.tobytes()}
    return _FOREIGN


def _unpacked_struct(plain: dict[str, Any]) -> object:
    made: Any = _STRUCTS[plain["s"]]
    return made(*map(unpacked, plain["v"]))


_UNPACKERS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "s": _unpacked_struct,
    "t": lambda plain: tuple(map(unpacked, plain["t"])),
    "m": lambda plain: {unpacked(key): unpacked(item) for key, item in plain["m"]},
    "a": lambda plain: np.frombuffer(bytearray(plain["b"]), _LAYOUTS[plain["a"]]),
    "w": lambda plain: datetime.fromtimestamp(plain["w"], UTC),
    "x": lambda _: Foreign(),
}


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise ConnectionError("the other side has gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
