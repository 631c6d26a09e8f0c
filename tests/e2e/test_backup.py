"""A backup under load becomes a home in which everything acknowledged before it is there once."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.platform import Platform, run_cli, running_platform
from harness.platform import wait_until as wait_briefly

from aitrading.server.backup.parts import DERIVED, FOLDERS, PRIVATE_FOLDERS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SYMBOL = "EURUSD"
OFTEN = "--set=metrics_history.sample_s=1"
WORDS = "correct horse battery staple"


def wait_until(probe: Callable[[], Any], *, what: str) -> Any:
    """Two platforms start in this test; a busy machine takes its time."""
    return wait_briefly(probe, what=what, timeout_s=90.0)


def acknowledged(platform: Platform) -> int:
    """Sequence of the newest tick that is durable: its sender was told so."""
    for quote in platform.get(f"/api/v1/quotes?symbol={SYMBOL}")["items"]:
        if not quote["provisional"]:
            return int(quote["sequence"])
    return 0


def rolled_up(platform: Platform) -> float:
    """Ticks that the bridge received in the last hour, as the store's own steps tell."""
    name = "aitrading_bridge_ticks_received_total"
    found = platform.cli_json("metrics", "show", name, "--step", "5m")
    assert found["resolution"] == "5m"
    return float(found["series"][0]["whole"]["increase"])


def devices(platform: Platform) -> list[tuple[str, str]]:
    return [
        (one["device"], one["state"])
        for one in platform.cli_json("device", "list", "--tenant", "demo")
    ]


def login(platform: Platform, password: str) -> int:
    body = {"tenant": "demo", "username": "auditor", "password": password}
    return platform.request("POST", "/api/v1/auth/login", person=None, body=body)[0]


def test_what_was_acknowledged_before_a_backup_is_in_the_restored_home_once(
    tmp_path: Path,
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    file, secret = tmp_path / "kept.aitbackup", tmp_path / "passphrase"
    secret.write_text(WORDS + "\n", encoding="utf-8")
    with running_platform(old, OFTEN) as platform:
        wait_until(lambda: acknowledged(platform) > 20, what="acknowledged ticks")
        seen = wait_until(lambda: rolled_up(platform), what="a counter in the history")
        known = devices(platform)
        password = platform.cli_json("user", "reset-password", "demo/auditor")["password"]
        marker = wait_until(lambda: acknowledged(platform), what="a durable quote")
        made = backup(platform, file, secret)
        assert made["manifest"]["marker"]["home"] == str(old)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        left = {path.name for path in old.iterdir()}
        assert platform.cli_json("backup", "list")[0]["state"] == "made"
        reached = acknowledged(platform)
    kept = {"postgres", "clickhouse", *FOLDERS.values(), *PRIVATE_FOLDERS.values()}
    assert left <= kept | DERIVED, "a new folder of the home is neither backed up nor derived"

    restored = run_cli("restore", str(file), "--passphrase-file", str(secret), home=new)
    assert restored.returncode == 0, restored.stderr
    shutil.move(old / "clients", new / "clients")  # the customer's machine has gone on by itself
    with running_platform(new, OFTEN) as platform:
        wait_until(lambda: acknowledged(platform) > reached + 20, what="the client going on")
        wait_until(lambda: rolled_up(platform) > seen, what="metrics kept and rolled up again")
        last = acknowledged(platform)
        history = wait_until(
            lambda: found if (found := platform.history(SYMBOL))[-1] >= last else None,
            what="new ticks in the history",
        )
        assert sorted(set(history)) == sorted(history), "a tick is there twice"
        assert set(range(1, marker + 1)) <= set(history), "an acknowledged tick is gone"
        after = [sequence for sequence in history if sequence > reached]
        assert set(range(max(reached, after[0]), history[-1] + 1)) - {reached} <= set(after)
        assert devices(platform) == known
        assert login(platform, password) == 200
        assert platform.cli_json("backup", "list")[0]["state"] == "restored"
        assert not list((new / "spool").rglob("*.corrupt"))


def backup(platform: Platform, file: Path, secret: Path) -> dict[str, Any]:
    return dict(platform.cli_json("backup", str(file), "--passphrase-file", os.fspath(secret)))
