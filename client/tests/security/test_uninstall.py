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


def run(home: Path, *options: str) -> Result:
    arguments = ["uninstall", "--home", str(home), "--json", *options]
    return CliRunner().invoke(main, arguments, prog_name="aitrading-client")


@pytest.fixture
def used(desk: Any) -> Any:
    """A home with a stored login, unsent ticks and settings."""
    login = BrokerLogin(login=7, server="Broker-Demo", password=SecretBuffer.of("canary"))
    desk.manager().store(login, ProtectionKind.PASSPHRASE)
    (desk.home / "journal" / "x").mkdir(parents=True)
    (desk.home / "journal" / "x" / "segment").write_bytes(b"ticks")
    (desk.home / "aitrading.toml").write_text("")
    return desk


def test_nothing_is_left_and_the_servers_share_is_gone(used: Any) -> None:
    copies = {path: path.read_bytes() for path in used.home.rglob("*") if path.is_file()}
    result = run(used.home, "--yes")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["files"], told["server_told"]) == (len(copies) - 1, True), "one went before"
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
    def cut(_path: Path) -> int:
        raise OSError("the power went")

    with monkeypatch.context() as broken:
        broken.setattr(uninstall, "_overwrite", cut)
        with pytest.raises(OSError, match="power"):
            uninstall.uninstall(used.home)
    assert used.server.shares == {}, "what opens it went first"
    assert run(used.home, "--yes").exit_code == 0
    assert not used.home.exists()
