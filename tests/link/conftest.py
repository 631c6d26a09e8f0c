from collections.abc import Iterator
from pathlib import Path

import pytest

from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.services import ServiceWorld


@pytest.fixture
def world() -> Iterator[ServiceWorld]:
    """A home whose path is short enough for Unix sockets."""
    with socket_folder() as home:
        yield ServiceWorld(Path(home))
