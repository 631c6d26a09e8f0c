"""An installation with one database: no ClickHouse, no cache engine."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from harness.platform import FREE_PORTS, Platform, run_cli, running_platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ALONE = "--set=stores.postgres_alone=true"
SMALL_BYTES = 20 << 20
OFTEN = "--set=metrics_history.sample_s=1"


def settled(platform: Platform, symbol: str) -> tuple[list[int], Any]:
    """Stored ticks, and bars of the same moment: nobody sends, what was sent is waited for."""
    client = platform.pid_of("demo-client")

    def asked() -> tuple[list[int], Any] | None:
        before = platform.history(symbol)
        bars = platform.get(f"/api/v1/bars?symbol={symbol}&period=1m")["items"]
        return (before, bars) if platform.history(symbol) == before else None

    os.kill(client, signal.SIGSTOP)
    try:
        return wait_until(asked, what="a moment without a tick")
    finally:
        os.kill(client, signal.SIGCONT)


def require_gap_of_a_killed_service(platform: Platform) -> None:
    """It came back, counts from nothing, and what nobody knows is no line."""
    pid = platform.kill("trading-engine")
    platform.wait_back("trading-engine", pid)

    def told() -> bool:
        found = platform.cli_json(
            "metrics", "show", "aitrading_process_uptime_s", "--since", "1m", "--step", "1s"
        )
        steps = {each["service"]: each["steps"] for each in found["series"]}["trading-engine"]
        known = [number for number, step in enumerate(steps) if not step.get("gap")]
        gaps = [number for number, step in enumerate(steps) if step.get("gap")]
        assert all("highest" not in steps[number] for number in gaps)
        return any(known[0] < number < known[-1] for number in gaps)

    wait_until(told, what="a gap between two lives of the engine")


def test_everything_works_in_postgresql_alone(tmp_path: Path) -> None:
    home, new = tmp_path / "home", tmp_path / "new"
    file, secret = tmp_path / "kept.aitbackup", tmp_path / "passphrase"
    with running_platform(home, ALONE, "--set=bars.round_s=1", OFTEN) as platform:
        state = platform.status()
        assert set(state["engines"]) == {"postgres", "nats", "envoy"}
        assert {child["state"] for child in state["services"].values()} == {"HEALTHY"}
        assert not (home / "clickhouse" / "data").exists()
        wait_until(lambda: len(platform.history("USDJPY")) > 20, what="ticks in the history")
        pid = platform.kill("database-service")
        platform.wait_back("database-service", pid)
        more = wait_until(lambda: len(platform.history("USDJPY")), what="the history")
        wait_until(lambda: len(platform.history("USDJPY")) > more, what="ticks after the kill")
        require_gap_of_a_killed_service(platform)
        sequences, bars = settled(platform, "USDJPY")
        assert sequences == list(range(1, len(sequences) + 1))
        assert sum(bar["ticks"] for bar in bars) == len(sequences)
        done = platform.cli("doctor", "--databases", "--json")
        told = {store["store"] for store in json.loads(done.stdout)["stores"]}
        assert told == {"relational", "cache", "error vectors", "chains' graph"}
        secret.write_text("words of a test\n", encoding="utf-8")
        made = platform.cli("backup", "make", str(file), "--passphrase-file", str(secret))
        assert made.returncode == 0, made.stderr
        assert file.stat().st_size < SMALL_BYTES, "something that is not the home's is in it"
    restored = run_cli("restore", str(file), "--passphrase-file", str(secret), home=new)
    assert restored.returncode == 0, restored.stderr
    with running_platform(new, ALONE, demo=False) as platform:
        found = platform.cli_json("store", "show", "streams", "--tenant", "demo")["items"]
        assert sum(stream["ticks"] for stream in found) >= len(sequences)
        assert set(sequences) <= set(platform.history("USDJPY"))
    refused = run_cli("up", "--json", *FREE_PORTS, "--set", "gateway.port=0", home=new)
    assert refused.returncode != 0
    assert "TIME_SERIES_ELSEWHERE" in refused.stderr + refused.stdout
