"""The client's file key: made once, its owner's alone, refused when it is none."""

from pathlib import Path

import pytest

from aitrading.client.security.file_keys import client_file_keys
from aitrading.core.kit.errors import AitradingError


def test_it_is_made_once_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    sealed = client_file_keys(tmp_path).seal(b"x", name="a")
    assert client_file_keys(tmp_path).open(sealed, name="a") == b"x"
    assert (tmp_path / "identity" / "files.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "identity").stat().st_mode & 0o777 == 0o700


def test_half_a_key_is_refused(tmp_path: Path) -> None:
    client_file_keys(tmp_path)
    (tmp_path / "identity" / "files.key").write_bytes(b"short")
    with pytest.raises(AitradingError) as refused:
        client_file_keys(tmp_path)
    assert refused.value.code == "DEVICE_FILES_DAMAGED"
