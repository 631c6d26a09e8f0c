"""A stored broker login in a running client: it logs in, is rotated on demand, crashes, is revoked.

A canary is its password. It may be in no file, log, environment, argument or core file, on either
side, in any phase.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from harness.client import InstalledClient, environment_of, files_with, memory_of
from harness.platform import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]
CANARY: Final = "canary-Q7f2-in-a-coal-mine"
LOGIN: Final = 1_000_001
"""The twin's; under another number the client would refuse it (`CREDENTIALS_OTHER_ACCOUNT`)."""
PASSPHRASE: Final = "a passphrase on a medium of its own"  # noqa: S105 - of the test
CORE_BYTES: Final = "unlimited"


@pytest.fixture
def client(platform: Platform, tmp_path: Path) -> Iterator[InstalledClient]:
    made = InstalledClient.enrolled(platform, tmp_path / "client", "keeper")
    file = tmp_path / "passphrase"
    file.touch(mode=0o600)
    file.write_text(PASSPHRASE)
    made.environ = {
        "AITRADING_TERMINAL_LOGIN_OWNER": "store",
        "AITRADING_TERMINAL_LOGIN_PASSPHRASE_FILE": str(file),
        "AITRADING_TERMINAL_LOGIN_RENEW_S": "1",
    }
    stored = made.cli(
        "credentials", "set", "--login", str(LOGIN), "--server-name", "Simulated-Demo",
        "--protect", "passphrase", "--passphrase-file", str(file), "--password-stdin", "--json",
        stdin=f"{CANARY}\n",
    )  # fmt: skip
    assert stored.returncode == 0, stored.stderr
    assert CANARY not in stored.stdout + stored.stderr
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()


def nowhere(client: InstalledClient, *more: Path, is_alive: bool = True) -> None:
    """The canary is in no file, and in nothing that processes show of themselves."""
    secret = CANARY.encode()
    assert files_with(secret, client.home.parent, *more) == []
    for pid in client.family() if is_alive else []:
        assert secret not in environment_of(pid)


def copies_in_memory(client: InstalledClient) -> int:
    """How often the canary is in the client's and its workers' memory; shows that it can look."""
    wholes = [memory_of(pid) for pid in client.family()]
    assert any(b"Simulated-Demo" in whole for whole in wholes)
    return sum(whole.count(CANARY.encode()) for whole in wholes)


def test_a_stored_login_works_and_its_password_is_nowhere(client: InstalledClient) -> None:
    # The shell lifts the limit on core files: what keeps one from being written is the client.
    client.start("/bin/sh", "-c", f'ulimit -c {CORE_BYTES}; exec "$0" "$@"')
    client.wait_for("broker-login", "HEALTHY")
    wait_until(lambda: str(LOGIN) in str(client.status()), what="the terminal under that login")
    nowhere(client)
    if os.geteuid() == 0:
        # What Python freed and did not overwrite yet cannot be wiped; what something still holds
        # would stay for ever.
        wait_until(lambda: copies_in_memory(client) == 0, what="no copy in memory", timeout_s=60)

    sealed = client.home / "identity" / "broker-login.sealed"
    older = sealed.read_bytes()
    client.platform.cli_json(
        "device", "rotate-credentials", client.device, "--tenant", client.tenant
    )
    wait_until(lambda: client.component("broker-login")["fields"]["rotations"] == 1, what="it")
    assert sealed.read_bytes() != older
    nowhere(client)

    assert client.end(signal.SIGSEGV) == -signal.SIGSEGV
    assert not [path for path in client.home.parent.iterdir() if path.name.startswith("core")]
    nowhere(client, is_alive=False)

    newer = sealed.read_bytes()
    sealed.write_bytes(older)
    passphrase = client.environ["AITRADING_TERMINAL_LOGIN_PASSPHRASE_FILE"]
    opened = client.cli("credentials", "show", "--open", "--passphrase-file", passphrase)
    assert "CREDENTIAL_SHARE_GONE" in opened.stderr, "a backup of before the rotation"
    sealed.write_bytes(newer)

    client.start()
    client.wait_for("broker-login", "HEALTHY")
    client.platform.cli_json("device", "revoke", client.device, "--tenant", client.tenant)
    fields = client.wait_for("broker-login", "FAILED")
    assert fields["refused_by"] == "DEVICE_TOKEN_REFUSED"
    nowhere(client, client.platform.home)
    client.end()
