from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.services import ServiceWorld


@pytest.fixture
def world() -> Iterator[ServiceWorld]:
    """A home whose path is short enough for Unix sockets."""
    with socket_folder() as home:
        yield ServiceWorld(Path(home))


@pytest.fixture
def identity() -> DeviceIdentity:
    return DeviceIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=11)))


@pytest.fixture
def stranger() -> DeviceIdentity:
    """A device of another tenant."""
    return DeviceIdentity(tenant=TenantId(UUID(int=2)), device=DeviceId(UUID(int=22)))
