"""The client's page: for this machine, under its own names, with nothing secret on it."""

from typing import Any

import msgspec
import numpy as np
import pytest

from aitrading.client.page.app import CONTENT_SECURITY_POLICY, page_app
from aitrading.client.page.board import FeedBoard
from aitrading.core.domain.market import TICK_DTYPE
from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock

VIEW = {"state": "HEALTHY"}


async def ask(path: str, *hosts: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def probes(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    scope = {
        "type": "http", "path": path, "method": method,
        "headers": [(b"host", host.encode()) for host in hosts],
    }  # fmt: skip
    await page_app(lambda: VIEW, probes)(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"]


@pytest.mark.parametrize("host", ["127.0.0.1:9001", "localhost:9001", "LOCALHOST", "[::1]:9001"])
@async_test
async def test_it_answers_to_names_of_this_machine(host: str) -> None:
    status, headers, body = await ask("/page.json", host)
    assert (status, msgspec.json.decode(body)) == (200, VIEW)
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert headers["cache-control"] == "no-store"
    assert (await ask("/health", host))[0] == 299


@pytest.mark.parametrize(
    "hosts",
    [
        ("evil.example:9001",), ("127.0.0.1.evil.example",), ("localhost.evil.example:9001",), (),
        ("localhost", "evil.example"), ("10.0.0.1",), ("[::1",), ("",),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/page.json", "/health", "/metrics"])
@async_test
async def test_a_name_of_somebody_else_is_told_nothing(path: str, hosts: tuple[str, ...]) -> None:
    if hosts == ("[::1",):
        hosts = ("[::2",)
    status, _, body = await ask(path, *hosts)
    assert status == 421
    assert b"HEALTHY" not in body


@async_test
async def test_the_page_is_scripts_and_styles_of_its_own_and_is_only_read() -> None:
    status, _, html = await ask("/", "localhost")
    assert status == 200
    assert b"http" not in html.replace(b"http-equiv", b"")
    assert b"<script>" not in html
    assert b"style=" not in html
    for path in ("/page.css", "/page.js", "/page.svg"):
        assert (await ask(path, "localhost"))[0] == 200
    assert (await ask("/", "localhost", method="POST"))[0] == 405
    assert (await ask("/page.json", "localhost", method="HEAD"))[2] == b""
    script = (await ask("/page.js", "localhost"))[2]
    assert b"innerHTML" not in script


@async_test
async def test_the_board_says_what_is_late_and_not_that_a_weekend_is() -> None:
    friday_ns = 1_790_949_600 * NS_PER_S  # 2026-10-02 14:00 UTC
    clock = ManualClock(friday_ns)
    board = FeedBoard(clock)
    rows = np.zeros(3, TICK_DTYPE)
    rows["bid"], rows["ask"] = 100, 112
    board.on_rows("EURUSD", rows)
    [seen] = board.view()
    assert (seen["state"], seen["ticks"], seen["spread_points"]) == ("LIVE", 3, 12)
    for after_s, state in ((20, "DELAYED"), (100, "STALE"), (12 * 3_600, "CLOSED")):
        await clock.advance(after_s)
        assert board.view()[0]["state"] == state
