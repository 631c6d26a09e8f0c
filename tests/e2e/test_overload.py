"""A running service that gets no processor grants less, says so everywhere, and recovers by itself."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Final

import pytest
from harness.platform import ORDER, Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
ENGINE: Final = "trading-engine"
STOPPED_S: Final = 0.4
"""Of each half second, roughly: four times what counts as an overload."""


@contextmanager
def without_processor(pid: int) -> Iterator[None]:
    """Stop the process again and again, as a machine that is too small does."""
    over = Event()

    def starve() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(STOPPED_S)
            os.kill(pid, signal.SIGCONT)
            over.wait(0.05)

    thread = Thread(target=starve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_limits_shrink_while_a_service_is_late_and_come_back(platform: Platform) -> None:
    def guard() -> dict[str, Any]:
        lines = platform.get("/api/v1/health")["guards"]
        return next(x for x in lines if (x["service"], x["kind"]) == (ENGINE, "load"))

    def limit(method: str, path: str, **more: Any) -> int:
        _, _, headers = platform.exchange(method, path, **more)
        return int(headers["ratelimit-policy"].partition("q=")[2].partition(";")[0])

    def events(action: str) -> list[dict[str, Any]]:
        found = platform.cli_json("audit", "security", "--limit", "200")
        return [x for x in found["items"] if x["action"] == action and x["subject"] == ENGINE]

    wait_until(lambda: guard()["state"] == "OK", what="an engine that is not late already")
    reading = limit("GET", "/api/v1/positions")
    neighbours = limit("GET", "/api/v1/positions", person="other/owner")
    ordering = limit("POST", "/api/v1/orders", body=ORDER)

    def reduced() -> dict[str, Any] | None:
        limit("GET", "/api/v1/positions")  # who asks for most is the first to have less
        told = guard()
        return told if told["state"] == "REDUCED" else None

    with without_processor(platform.pid_of(ENGINE)):
        line = wait_until(reduced, what="a smaller share")
        assert "% of the limits since" in line["detail"]
        left = limit("GET", "/api/v1/positions")
        assert 0 < left < reading
        left_to_others = limit("GET", "/api/v1/positions", person="other/owner")
        assert left_to_others / neighbours >= left / reading
        assert limit("POST", "/api/v1/orders", body=ORDER) == ordering
        assert platform.request("POST", "/api/v1/kill", person="other/owner")[0] == 200
    wait_until(lambda: guard()["state"] == "OK", what="the end of it", timeout_s=120)
    wait_until(lambda: limit("GET", "/api/v1/positions") == reading, what="the whole limits")
    wait_until(lambda: events("limits.restored"), what="the end in the trail")
    assert events("limits.reduced")
    assert events("limits.restored")[0]["details"]["wait_ms"] >= 100
