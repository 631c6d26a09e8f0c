"""Kill each process in turn: the platform comes back, and no tick is lost or doubled."""

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from harness.platform import Platform, running_platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]
VICTIMS = (
    "data-bridge",
    "database-service",
    "api-gateway",
    "trading-engine",
    "envoy",
    "nats",
    "valkey",
    "postgres",
    "demo-client",
)


def history(platform: Platform, symbol: str) -> list[int]:
    """Sequences of a symbol's stored ticks, page after page."""
    found: list[int] = []
    cursor = ""
    while True:
        query = f"symbol={symbol}&limit=5000" + (f"&cursor={cursor}" if cursor else "")
        page = platform.get(f"/api/v1/ticks?{query}")
        found += [tick["sequence"] for tick in page["items"]]
        cursor = page.get("next_cursor") or ""
        if not cursor:
            return found


def grows(platform: Platform, symbol: str, over: int) -> Any:
    return lambda: (found := history(platform, symbol)) and found[-1] > over and found


@pytest.fixture(scope="module")
def battered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One platform that survives every test of this module, in any order."""
    with running_platform(tmp_path_factory.mktemp("battered") / "home") as running:
        yield running


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_process_comes_back_and_no_tick_is_lost(battered: Platform, victim: str) -> None:
    platform = battered
    before = wait_until(grows(platform, "EURUSD", 0), what="ticks being stored")
    old_pid = platform.kill(victim)
    platform.wait_back(victim, old_pid)
    after = wait_until(
        grows(platform, "EURUSD", before[-1] + 10), what="new ticks being stored", timeout_s=90
    )
    assert after == list(range(1, len(after) + 1))
    assert platform.process.poll() is None


def test_a_request_whose_collector_is_killed_is_still_told_and_what_is_lost_is_said(
    battered: Platform,
) -> None:
    """The service that answered keeps its part; the edge's record of that time is not read again."""
    platform = battered
    trace_id = secrets.token_hex(12) + "00000000"
    headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    platform.token("demo/trader")
    old_pid = platform.kill("database-service")
    assert platform.request("GET", "/api/v1/kill", headers=headers)[0] == 200
    platform.wait_back("database-service", old_pid)

    def told() -> Any:
        status, trace = platform.request("GET", f"/api/v1/traces/{trace_id}")
        return trace if status == 200 else None

    trace = wait_until(told, what="the trace", timeout_s=60)
    assert "trading-engine" in {span["service"] for span in trace["spans"]}
    has_edge = any(span["kind"] == "edge" for span in trace["spans"])
    assert trace["complete"] == has_edge
    assert len(trace["missing"]) == (0 if has_edge else 1)


def test_nothing_outlives_a_killed_supervisor_and_the_next_start_recovers(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    with running_platform(home) as platform:
        before = wait_until(grows(platform, "EURUSD", 5), what="ticks being stored")
        state, port = platform.status(), urlsplit(platform.url).port
        pids = [
            child["pid"]
            for kind in ("services", "engines", "clients")
            for child in state[kind].values()
        ]
        os.kill(platform.process.pid, signal.SIGKILL)
        platform.process.wait()
        for pid in pids:
            wait_until(lambda pid=pid: not alive(pid), what=f"the end of {pid}")
    with running_platform(home, "--set", f"gateway.port={port}") as platform:
        after = wait_until(
            grows(platform, "EURUSD", before[-1] + 5), what="ticks after the restart", timeout_s=90
        )
        assert after == list(range(1, len(after) + 1))


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
