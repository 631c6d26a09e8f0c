"""Uninstalling: nothing is left, nothing opens any more, and nobody else's folder goes."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aitrading.client import uninstall
from aitrading.client.cli import main
from aitrading.client.security.credential_file import BrokerLogin
from aitrading.client.security.protection import ProtectionKind
from aitrading.client.security.secret_buffer import SecretBuffer
from aitrading.core.infrastructure.files import try_lock

DEVICE = "0198c0de-0000-7000-8000-000000000001"
WRITTEN = (
    "aitrading.toml", "availability.json", "run.json", "client.lock", ".run.json.0123456789abcdef",
    f"journal/{DEVICE}/streams.json", f"journal/{DEVICE}/gaps.jsonl",
    f"journal/{DEVICE}/spool/0000000000000001.seg", f"journal/{DEVICE}/spool/spool.lock",
    f"notes/{DEVICE}/queue.json", f"notes/{DEVICE}/spool/0000000000000001.torn",
    "configuration/bundle.sealed", "configuration/key.json", "identity/configuration.seen",
    "identity/files.key", "identity/checkpoint", "collector/known.sealed", "monitor/alerts.sealed",
)  # fmt: skip


def run(home: Path, *options: str) -> Result:
    arguments = ["uninstall", "--home", str(home), "--json", *options]
    return CliRunner().invoke(main, arguments, prog_name="aitrading-client")


@pytest.fixture
def used(desk: Any) -> Any:
    """A home with a stored login, unsent ticks and settings."""
    login = BrokerLogin(login=7, server="Broker-Demo", password=SecretBuffer.of("canary"))
    desk.manager().store(login, ProtectionKind.PASSPHRASE)
    for name in WRITTEN:
        (desk.home / name).parent.mkdir(parents=True, exist_ok=True)
        (desk.home / name).write_bytes(b"of the client")
    return desk


def test_nothing_is_left_and_the_servers_share_is_gone(used: Any) -> None:
    copies = {path: path.read_bytes() for path in used.home.rglob("*") if path.is_file()}
    result = run(used.home, "--yes")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["server_told"], told["left"]) == (True, [])
    assert told["files"] == len(copies) - 2, "the login went before, the lock went after"
    assert not used.home.exists()
    assert used.server.shares == {}
    for path, data in copies.items():  # a copy of the disk from before
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with pytest.raises(Exception, match=r"no|gone|share"):
        used.manager().open()


def test_without_the_server_everything_here_goes_and_that_is_told(used: Any) -> None:
    used.server.is_down = True
    result = run(used.home, "--yes")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["server_told"] is False
    assert "aitrading device revoke" in result.stderr
    assert not used.home.exists()


def test_a_running_client_and_a_strange_folder_are_left_alone(used: Any, tmp_path: Path) -> None:
    lock = try_lock(used.home / "client.lock")
    assert lock is not None
    assert "CLIENT_HOME_IN_USE" in run(used.home, "--yes").stdout
    os.close(lock)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "letter").write_text("dear")
    assert "CLIENT_HOME_STRANGE" in run(tmp_path / "documents", "--yes").stdout
    assert (tmp_path / "documents" / "letter").exists()
    assert used.home.exists()
    assert run(used.home).exit_code == 1, "nobody said yes"
    assert used.home.exists()
    assert used.server.shares


def test_a_crash_in_between_is_finished_by_the_same_command(
    used: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Path] = []

    def cut(path: Path) -> None:
        if len(done) > 3:
            raise OSError("the power went")
        done.append(path)
        path.unlink()

    with monkeypatch.context() as broken:
        broken.setattr(uninstall, "_overwrite", cut)
        with pytest.raises(OSError, match="power"):
            uninstall.uninstall(used.home)
    assert used.server.shares == {}, "what opens it went first"
    assert run(used.home, "--yes").exit_code == 0
    assert not used.home.exists()


@pytest.mark.parametrize("name", ["journal/diary", "identity/passport.pdf", "aitrading.toml"])
def test_a_common_name_does_not_make_a_folder_the_clients(tmp_path: Path, name: str) -> None:
    path = tmp_path / "documents" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    for record in (None, b"{}"):
        if record is not None:
            (path.parents[name.count("/")] / "identity").mkdir(exist_ok=True)
            (tmp_path / "documents" / "identity" / "device.json").write_bytes(record)
        assert "CLIENT_HOME_STRANGE" in run(tmp_path / "documents", "--yes").stdout
        assert path.read_text() == "mine"


def test_what_somebody_else_put_there_stays_and_is_named(used: Any, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "streams.json").write_text("elsewhere")
    (used.home / "journal" / "0198c0de-0000-7000-8000-000000000002").symlink_to(tmp_path / "other")
    (used.home / "collector" / "known.sealed").unlink()
    (used.home / "collector" / "known.sealed").symlink_to(tmp_path / "other" / "streams.json")
    for name in ("photos/cat.jpg", "journal/diary.txt", "identity/passport.pdf", "letter"):
        (used.home / name).parent.mkdir(exist_ok=True)
        (used.home / name).write_text("mine")
    told = json.loads(run(used.home, "--yes").stdout)
    assert sorted(told["left"]) == [
        "collector/known.sealed", "identity/passport.pdf",
        "journal/0198c0de-0000-7000-8000-000000000002", "journal/diary.txt", "letter", "photos",
    ]  # fmt: skip
    assert (tmp_path / "other" / "streams.json").read_text() == "elsewhere"
    kept = sorted(path.name for path in used.home.rglob("*") if not path.is_dir())
    assert kept == ["cat.jpg", "diary.txt", "known.sealed", "letter", "passport.pdf"]
    assert not (used.home / "configuration").exists()
