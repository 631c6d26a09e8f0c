from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from aitrading.client.testing.desk import Desk, open_desk


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Desk]]:
    def make(**settings: Any) -> AbstractAsyncContextManager[Desk]:
        return open_desk(tmp_path, **settings)

    return make
