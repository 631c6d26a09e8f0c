"""A signed client whose file somebody changes: it says so, and the server lets it open nothing new."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from harness.client import InstalledClient
from harness.platform import Platform, wait_until

from aitrading.client.security.installation import installation_root

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]
ROOT: Final = Path(__file__).parents[2]
TENANT: Final = "altered"
PERSON: Final = f"{TENANT}/owner"
ORDER: Final = {"symbol": "EURUSD", "side": "buy", "volume": "0.1"}


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """As a release is installed: both packages in one folder, listed and signed."""
    root = tmp_path / "site"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "core/src/aitrading/core", root / "aitrading/core", ignore=ignored)
    client = installation_root() / "aitrading/client"
    shutil.copytree(client, root / "aitrading/client", ignore=ignored)
    release = [sys.executable, str(ROOT / "scripts/client_release.py")]
    for arguments in (["key", str(tmp_path / "key.pem")],
                      ["sign", str(tmp_path / "key.pem"), "--tree", str(root)]):  # fmt: skip
        subprocess.run([*release, *arguments], check=True, capture_output=True)
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0
    return root


@pytest.fixture
def client(platform: Platform, tmp_path: Path, installation: Path) -> Iterator[InstalledClient]:
    made = InstalledClient.enrolled(platform, tmp_path / "client", TENANT)
    start = (
        f"import sys; sys.path.insert(0, {str(installation)!r})\n"
        "from aitrading.client.cli import main; main()"
    )
    made.program = (sys.executable, "-I", "-c", start)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()


def reported(client: InstalledClient) -> dict[str, Any] | None:
    """What the server knows of the device."""
    known = client.platform.cli_json("device", "security", "--tenant", TENANT)
    return next((each for each in known if each["device"] == client.device), None)


def refusal(client: InstalledClient) -> str:
    answer = client.platform.request("POST", "/api/v1/orders", person=PERSON, body=ORDER)[1]
    return str(answer["error"]["code"])


def test_an_altered_client_is_found_barred_and_allowed_again(
    client: InstalledClient, installation: Path
) -> None:
    platform = client.platform
    platform.cli_json("user", "create", "owner", "--tenant", TENANT, "--role", "owner")
    platform.cli_json(
        "account", "create", "desk", "--tenant", TENANT, "--broker-server", "Simulated-Demo",
        "--login", "1000001", "--currency", "USD", "--device", client.device,
    )  # fmt: skip
    client.start()
    client.wait_for("security", "HEALTHY")
    known = wait_until(lambda: reported(client), what="the first report")
    assert (known["exposure"]["barred"], known["report"]["files"]) == (False, "intact")
    outcomes = {each["name"]: each["outcome"] for each in known["report"]["measures"]}
    assert outcomes["core-file"] in {"enforced", "verified"}
    assert refusal(client) == "TRADING_NOT_AVAILABLE"
    client.end()

    changed = installation / "aitrading/client/terminal/port.py"
    changed.write_text(changed.read_text() + "# and something more\n")
    client.start()
    wait_until(lambda: (reported(client) or {})["exposure"]["barred"], what="the bar")
    fields = client.component("security")["fields"]
    assert fields["new_exposure"] == "barred"
    assert fields["findings"] == "aitrading/client/terminal/port.py was changed"
    assert refusal(client) == "DEVICE_BARRED"
    (barred,) = platform.get("/api/v1/risk/devices", person=PERSON)["items"]
    assert barred["device"] == client.device
    killed = platform.request("POST", "/api/v1/kill", person=PERSON)
    assert killed[1]["engaged"], "the way out is open"
    client.end()

    subprocess.run(
        [sys.executable, str(ROOT / "scripts/client_release.py"), "sign",
         str(installation.parent / "key.pem"), "--tree", str(installation)],
        check=True, capture_output=True,
    )  # fmt: skip
    client.start()
    wait_until(lambda: (reported(client) or {})["report"]["files"] == "intact", what="praise")
    assert refusal(client) == "DEVICE_BARRED", "praise lifts nothing"
    platform.cli_json(
        "device", "allow-exposure", client.device, "--tenant", TENANT, "--reason", "reinstalled"
    )
    assert refusal(client) == "TRADING_NOT_AVAILABLE"
    client.end()
