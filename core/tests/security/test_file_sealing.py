"""Small sealed files: theirs alone, under the newest key, refused with a reason."""

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.file_sealing import FileKeys, is_sealed
from aitrading.core.testing.file_keys import MemoryFileKeys, some_file_keys


def refusal(keys: FileKeys, data: bytes, name: str = "a") -> str:
    with pytest.raises(AitradingError) as caught:
        keys.open(data, name=name)
    return caught.value.code


def test_what_was_sealed_opens_under_its_name_alone() -> None:
    keys = some_file_keys()
    sealed = keys.seal(b"content", name="a")
    assert is_sealed(sealed)
    assert b"content" not in sealed
    assert keys.open(sealed, name="a") == b"content"
    assert refusal(keys, sealed, "b") == "FILE_UNREADABLE"
    assert refusal(keys, sealed[:-1] + bytes([sealed[-1] ^ 1])) == "FILE_UNREADABLE"
    assert {refusal(keys, sealed[:size]) for size in range(len(sealed))} == {"FILE_UNREADABLE"}


def test_a_foreign_key_is_told_from_damage() -> None:
    assert refusal(some_file_keys(), some_file_keys().seal(b"x", name="a")) == "FILE_KEY_MISSING"


def test_a_rotation_is_noticed_by_whoever_reads_and_by_whoever_writes() -> None:
    home = MemoryFileKeys()
    reader, writer = FileKeys(home.load), FileKeys(home.load)
    old = writer.seal(b"x", name="a")
    home.rotate()
    new = writer.seal(b"y", name="a")
    assert old[:24] != new[:24]
    assert (reader.open(old, name="a"), reader.open(new, name="a")) == (b"x", b"y")
