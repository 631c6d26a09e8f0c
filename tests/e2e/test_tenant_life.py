"""An organisation on a running platform: suspended, let in again, lapsed, erased, and a start after that."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness.platform import BIN, Platform, running_platform, wait_until
from harness.postgres import rows

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]
READS = ("/api/v1/risk", "/api/v1/quotes", "/api/v1/ticks?symbol=EURUSD", "/api/v1/devices")
AT_ONCE_S = 10.0
"""For a decision that travels over the bus to every process; without, a plan is remembered for a
minute, a token is believed for fifteen, and a device is looked up every half minute."""


def link_of_client(home: Path) -> dict[str, Any]:
    """The demo's device, as its own client tells it."""
    client = [str(BIN / "aitrading-client"), "status", "--json", "--home"]
    done = subprocess.run(
        [*client, str(home / "clients" / "demo")], capture_output=True, text=True, check=False
    )
    return dict(json.loads(done.stdout)["components"]["link"]["fields"])


def linked(platform: Platform) -> bool:
    return bool(link_of_client(platform.home)["link"] == "CONNECTED")


def reads_of(platform: Platform, person: str) -> set[int]:
    return {platform.request("GET", path, person=person)[0] for path in READS}


def suspended(platform: Platform) -> None:
    wait_until(lambda: linked(platform), what="the device's link")
    wait_until(lambda: reads_of(platform, "demo/owner") == {200}, what="stored ticks")
    assert reads_of(platform, "other/owner") <= {200, 404}
    assert platform.cli("tenant", "suspend", "demo").returncode == 0
    wait_until(
        lambda: reads_of(platform, "demo/owner") == {401}, what="refusals", timeout_s=AT_ONCE_S
    )
    wait_until(lambda: not linked(platform), what="the link ending", timeout_s=AT_ONCE_S)
    assert link_of_client(platform.home)["last_error"] == "LINK_SUBSCRIPTION_INACTIVE"
    right = {"tenant": "demo", "username": "owner", "password": platform.password("owner")}
    wrong = {**right, "password": "not the password at all"}
    answers = [
        platform.request("POST", "/api/v1/auth/login", person=None, body=body)
        for body in (right, wrong)
    ]
    told = [(status, answer["error"]["code"]) for status, answer in answers]
    assert told == [(401, "LOGIN_REFUSED")] * 2
    assert reads_of(platform, "other/owner") <= {200, 404}
    killed = platform.cli_json("kill", "--tenant", "demo")
    assert (killed["engaged"], killed["engaged_by"]) == (True, "host:admin")

    def audited() -> bool:
        told = platform.cli_json("audit", "security", "--tenant", "demo")["items"]
        return any(each["action"] == "trading.kill.engaged" for each in told)

    wait_until(audited, what="the kill switch in the audit trail")


def let_in_again(platform: Platform) -> None:
    assert platform.cli("tenant", "activate", "demo").returncode == 0
    platform.forget_tokens()
    assert reads_of(platform, "demo/owner") == {200}
    assert platform.get("/api/v1/kill", person="demo/owner")["engaged"] is True
    wait_until(lambda: linked(platform), what="the device coming back")


def lapsed(platform: Platform) -> None:
    """The plan is paused: no prices at once, and everything else as before."""

    def source() -> str:
        return str(platform.get("/api/v1/quotes", person="demo/owner")["source"])

    assert platform.cli("subscription", "set", "pro", "--tenant", "demo").returncode == 0
    wait_until(lambda: source() == "live", what="quotes")
    assert platform.cli("subscription", "pause", "--tenant", "demo").returncode == 0
    wait_until(lambda: source() == "held", what="no quotes", timeout_s=AT_ONCE_S)
    assert reads_of(platform, "demo/owner") == {200}
    assert platform.get("/api/v1/feeds", person="demo/owner")["items"]
    assert platform.cli("subscription", "resume", "--tenant", "demo").returncode == 0
    wait_until(lambda: source() == "live", what="quotes again")
    usage = platform.cli_json("usage", "--tenant", "demo")
    assert usage["ticks_stored"] > 0
    assert platform.get("/api/v1/usage", person="demo/owner")["first_day"] == usage["first_day"]
    wait_until(lambda: linked(platform), what="the link again")


def erased(platform: Platform) -> None:
    assert platform.cli("tenant", "erase", "demo").returncode != 0, "nobody typed the name"
    assert platform.cli("tenant", "erase", "demo", "--yes-erase", "other").returncode == 1
    assert reads_of(platform, "demo/owner") == {200}
    done = platform.cli_json("tenant", "erase", "demo", "--yes-erase", "demo")
    assert done["devices_revoked"] == 1
    assert done["sessions_ended"] > 0
    wait_until(
        lambda: reads_of(platform, "demo/owner") == {401}, what="refusals", timeout_s=AT_ONCE_S
    )
    wait_until(lambda: not linked(platform), what="the link ending", timeout_s=AT_ONCE_S)
    (left,) = rows(
        platform,
        "SELECT count(*) AS n FROM app.tenant_keys WHERE tenant_id ="
        " (SELECT id FROM identity.tenants WHERE name = 'demo')",
    )
    assert left["n"] == 0


def test_an_organisation_is_suspended_let_in_and_erased(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_platform(home) as platform:
        suspended(platform)
        let_in_again(platform)
        lapsed(platform)
        erased(platform)
    with running_platform(home, demo=False) as again:
        states = {each["name"]: each["state"] for each in again.cli_json("tenant", "list")}
        assert states == {"demo": "erased", "other": "active"}
        for what in ("user", "device", "account"):
            found = again.cli_json(what, "list", "--tenant", "demo")
            assert {each["name"] for each in found} == {"(erased)"}, what
        assert reads_of(again, "other/owner") <= {200, 404}
        assert again.cli_json("keys", "rotate")["rewrapped"] == 2  # the other's, the platform's
        secret = tmp_path / "passphrase"
        secret.write_text("correct horse battery staple\n")
        secret.chmod(0o600)
        kept = str(tmp_path / "kept.aitbackup")
        assert again.cli("backup", kept, "--passphrase-file", str(secret)).returncode == 0
        doctor = again.cli("doctor")
        assert doctor.returncode == 0, doctor.stdout
