"""The commands around the stored login, and what keeps its lease in a client that runs."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aitrading.client.cli import main
from aitrading.client.security.credential_file import BrokerLogin
from aitrading.client.security.credential_keeper import CredentialKeeper
from aitrading.client.security.protection import ProtectionKind
from aitrading.client.security.secret_buffer import SecretBuffer
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test

CANARY = "canary-5d1f"


def run(desk: Any, *arguments: str, given: str | None = None) -> Result:
    file = desk.home / "passphrase"
    if not file.exists():
        file.write_text(desk.passphrase)
        file.chmod(0o600)
    more = () if arguments[0] == "forget" else ("--passphrase-file", str(file))
    command = ["credentials", *arguments, *more, "--home", str(desk.home)]
    result = CliRunner().invoke(main, command, input=given)
    assert CANARY not in result.output
    assert "Traceback" not in result.output
    return result


SET = ("set", "--login", "7", "--server-name", "Broker-Demo", "--protect", "passphrase",
       "--password-stdin")  # fmt: skip


def test_a_login_is_stored_shown_rotated_and_forgotten(desk: Any) -> None:
    assert run(desk, *SET, given=f"{CANARY}\n").exit_code == 0
    shown = json.loads(run(desk, "show", "--open", "--json").stdout)
    assert (shown["login"], shown["broker_server"]) == (7, "Broker-Demo")
    assert shown["protection"] == "passphrase"
    before = desk.file.read_bytes()
    assert run(desk, "rotate").exit_code == 0
    assert run(desk, "rotate", "--password-stdin", given="another one\n").exit_code == 0
    assert desk.file.read_bytes() != before
    assert run(desk, "forget").exit_code == 0
    missing = run(desk, "show")
    assert (missing.exit_code, "CREDENTIALS_MISSING" in missing.stderr) == (1, True)


@pytest.mark.parametrize(
    ("change", "exit_code", "words"),
    [
        ((), 1, "CREDENTIALS_UNPROTECTED"),
        (("--protect", "machine"), 2, "'machine'"),
    ],
)
def test_no_weaker_protection_is_taken_instead(
    desk: Any, change: tuple[str, ...], exit_code: int, words: str
) -> None:
    kinds = [k for k in ProtectionKind if k is not ProtectionKind.PASSPHRASE]
    for kind in kinds if not change else [None]:
        chosen = change or ("--protect", str(kind))
        result = run(desk, *SET[:5], *chosen, "--password-stdin", given=f"{CANARY}\n")
        assert result.exit_code == exit_code
        assert words in result.stderr
    assert not desk.file.exists()


def test_a_passphrase_that_others_may_read_is_refused(desk: Any) -> None:
    assert run(desk, *SET, given=f"{CANARY}\n").exit_code == 0
    (desk.home / "passphrase").chmod(0o644)
    result = run(desk, "show", "--open")
    assert (result.exit_code, "CREDENTIALS_UNPROTECTED" in result.stderr) == (1, True)


@pytest.mark.parametrize("given", ["\n", "\xff" * 3 + "\n", "x" * 2_000])
def test_a_password_that_is_none_is_refused(desk: Any, given: str) -> None:
    result = run(desk, *SET, given=given.encode("latin-1"))  # type: ignore[arg-type]
    assert (result.exit_code, "CREDENTIALS_INVALID" in result.stderr) == (1, True)


def test_without_the_server_nothing_is_stored(desk: Any) -> None:
    desk.server.is_down = True
    result = run(desk, *SET, given=f"{CANARY}\n")
    assert (result.exit_code, "LINK_UNREACHABLE" in result.stderr) == (3, True)
    assert not desk.file.exists()
    assert "keeps its share" in run(desk, "forget").stderr


@async_test
async def test_the_keeper_renews_rotates_and_says_when_it_cannot(desk: Any) -> None:
    desk.manager().store(
        BrokerLogin(login=7, server="Broker-Demo", password=SecretBuffer.of(CANARY)),
        ProtectionKind.PASSPHRASE,
    )
    errors = ErrorHandler(
        clock=SystemClock(), randomness=SystemRandomness(), metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )  # fmt: skip
    manager = desk.manager()
    keeper = CredentialKeeper(manager, renew_s=3600, clock=desk.clock, errors=errors)
    desk.server.is_down = True
    await keeper.start()
    assert keeper.state is ComponentState.FAILED, "a start without the server has no lease"
    desk.server.is_down = False
    await keeper.check()
    assert keeper.state is ComponentState.HEALTHY
    assert 0 < int(str(keeper.statistics()["lease_left_s"])) <= 24 * 3600
    before = desk.file.read_bytes()
    desk.server.wants_rotation = True
    await keeper.check()
    assert keeper.rotations == 1
    assert desk.file.read_bytes() != before
    assert len(desk.server.shares) == 1
    desk.server.is_down = True
    await keeper.check()
    assert keeper.state is ComponentState.DEGRADED, "there is a lease"
    desk.server.is_down, desk.server.is_revoked = False, True
    await keeper.check()
    assert keeper.state is ComponentState.FAILED
    assert keeper.statistics()["refused_by"] == "DEVICE_REQUEST_REFUSED"
    await keeper.stop()
