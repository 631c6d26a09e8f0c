"""ClickHouse's `Native` format: a block is its size, then each column as name, type and raw data.

https://clickhouse.com/docs/interfaces/formats/Native
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

_CONTINUES: Final = 0x80
"""A varint's byte with this bit is not its last."""


class Column(NamedTuple):
    """One column; the array's bytes are what ClickHouse stores for the type."""

    name: str
    type: str
    values: NDArray[Any]


def encode_block(columns: Sequence[Column], rows: int) -> bytes:
    """One block of so many rows."""
    parts = [_varint(len(columns)), _varint(rows)]
    for column in columns:
        if len(column.values) != rows:
            raise ValueError(f"column {column.name} has {len(column.values)} of {rows} values")
        parts += [_text(column.name), _text(column.type), column.values.tobytes()]
    return b"".join(parts)


def uuid_columns(ids: Sequence[UUID]) -> NDArray[np.uint64]:
    """UUIDs as ClickHouse lays them out: two little-endian halves, the high one first."""
    raw = b"".join(each.bytes for each in ids)
    return np.frombuffer(raw, ">u8").astype("<u8").reshape(-1, 2)


def uuid_of(halves: NDArray[np.uint64]) -> UUID:
    """The inverse of `uuid_columns` for one value."""
    return UUID(bytes=halves.astype(">u8").tobytes())


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= _CONTINUES:
        encoded.append(value % _CONTINUES | _CONTINUES)
        value //= _CONTINUES
    encoded.append(value)
    return bytes(encoded)


def _text(text: str) -> bytes:
    raw = text.encode()
    return _varint(len(raw)) + raw
