"""The administration socket: what is written down about who asked for what."""

import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aitrading.core.testing.async_test import async_test
from aitrading.server.supervisor.admin import AdminServer
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home


async def nothing(arguments: Mapping[str, Any]) -> None:
    assert arguments


@async_test
async def test_what_was_asked_for_is_logged_and_what_came_with_it_is_not(
    short_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = Home(short_folder / "home")
    home.run.mkdir(parents=True)
    server = AdminServer(home.admin_socket, {"call": nothing})
    await server.start()
    call = {"peer": "api-gateway", "method": "POST", "path": "/internal/v1/admin/users"}
    ask = lambda: AdminClient(home).request(  # noqa: E731 - for another thread
        "call", type(None), **call, body={"password": "not for the log"}
    )
    with caplog.at_level(logging.INFO):
        await asyncio.to_thread(ask)
    await server.stop()
    said = f"uid {os.geteuid()} asked for call api-gateway POST /internal/v1/admin/users"
    assert said in caplog.text
    assert "not for the log" not in caplog.text
