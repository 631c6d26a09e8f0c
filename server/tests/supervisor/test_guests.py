"""The file of admitted services: nothing, what was written, or a clear refusal."""

from pathlib import Path

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.server.supervisor.guests import Guests


def test_without_a_file_nobody_was_admitted(tmp_path: Path) -> None:
    assert Guests(tmp_path / "guests.json").names == ()


@pytest.mark.parametrize("content", [b"", b"{", b'[{"name": 7, "port": 0}]', b"\xff"])
def test_a_damaged_file_is_said_and_not_taken_for_nobody(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "guests.json"
    path.write_bytes(content)
    with pytest.raises(AitradingError, match="SERVICES_FILE_DAMAGED"):
        Guests(path)
