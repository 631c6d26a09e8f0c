"""Who takes the disk learns no name: everything a platform wrote is searched for what it was told."""

import mmap
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final

import pytest
from harness.platform import Platform
from harness.software_key import SoftwareKey

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]
USER: Final = "canary.person@example.org"
SHOWN: Final = "Canary van Persoon"
DEVICE: Final = "Canary's laptop"
ACCOUNT: Final = "Canary savings"
KEY: Final = "Canary's little blue key"
LOGIN: Final = "73519924680135"
BROKER: Final = "CanaryBroker-Live"
"""Not personal; kept in the clear, it proves that the search finds what is there."""
HIDDEN: Final = (USER, SHOWN, DEVICE, ACCOUNT, KEY, LOGIN)
TRADED: Final = (b"EURUSD", b"GBPUSD", b"XAUUSD", b"broker")
"""In every journal of the demo's client, sealed; in the clear it would be found."""
TOLD_ON_PURPOSE: Final = ("clients",)
"""A demo's clients stand for other machines: what they keep is theirs."""


def written(home: Path) -> Iterator[Path]:
    for path in home.rglob("*"):
        below = path.relative_to(home).parts[0]
        if below not in TOLD_ON_PURPOSE and path.is_file() and not path.is_symlink():
            yield path


def holders(home: Path, text: str) -> list[str]:
    """Files with the text, in any spelling that a log or a page could give it."""
    spellings = {text.encode(), text.lower().encode(), text.encode("utf-16-le")}
    found = []
    for path in written(home):
        if not path.stat().st_size:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if any(data.find(spelling) >= 0 for spelling in spellings):
                found.append(str(path.relative_to(home)))
    return found


def kept_of_ticks(home: Path) -> list[Path]:
    """Every file in which the server or the demo's client keeps ticks on their way."""
    folders = [home / "spool", home / "quarantine", *home.glob("clients/*/journal")]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def lived(platform: Platform) -> None:
    """Everything that people do with names: made, listed, refused, doubled, logged in, mistyped."""
    person = ("user", "create", USER, "--tenant", "demo", "--role", "viewer")
    password = platform.cli_json(*person, "--display-name", SHOWN)["password"]
    account = ("account", "create", ACCOUNT, "--tenant", "demo", "--broker-server", BROKER)
    account = (*account, "--login", LOGIN, "--currency", "USD")
    platform.cli_json(*account)
    platform.cli_json("device", "invite", DEVICE, "--tenant", "demo")
    for again in (person, account):
        assert platform.cli(*again).returncode != 0
    for what in ("user", "account", "device"):
        assert "canary" in platform.cli(what, "list", "--tenant", "demo").stdout.lower()
    for tried in (password, "not the password at all"):
        body = {"tenant": "demo", "username": USER, "password": tried}
        platform.request("POST", "/api/v1/auth/login", person=None, body=body)
    for name in (USER, USER + "x"):
        platform.cli("user", "link", name, "--tenant", "demo")
    token = platform.cli("token", "--for", f"demo/{USER}")
    assert token.returncode == 0, token.stderr
    platform.request("GET", f"/api/v1/ticks?symbol={LOGIN}", person=f"demo/{USER}")
    key_added(platform, f"demo/{USER}")


def key_added(platform: Platform, person: str) -> None:
    """A security key with a name, of a person who then sees it."""
    path, page = "/api/v1/auth/factors/keys", {"origin": platform.url}
    status, options = platform.request(
        "POST", f"{path}/options", person=person, body={}, headers=page
    )
    assert status == HTTPStatus.OK, options
    made = SoftwareKey(origin=platform.url).made(options)
    body = {"name": KEY, "key": made}
    status, answer = platform.request("POST", path, person=person, body=body, headers=page)
    assert status == HTTPStatus.OK, answer
    assert KEY in str(platform.get("/api/v1/auth/factors", person=person))


def test_nothing_that_a_platform_writes_tells_a_name(own_platform: Platform) -> None:
    lived(own_platform)
    home = own_platform.home
    assert own_platform.stop() == 0
    assert holders(home, BROKER), "the search itself is blind"
    assert {text: holders(home, text) for text in HIDDEN} == {text: [] for text in HIDDEN}
    kept = kept_of_ticks(home)
    assert {"spool", "clients"} <= {path.relative_to(home).parts[0] for path in kept}
    assert {path.name: path.read_bytes()[8:10] for path in kept if path.suffix == ".seg"} == {
        path.name: b"\x02\x00" for path in kept if path.suffix == ".seg"
    }
    told = [path.name for path in kept for text in TRADED if text in path.read_bytes()]
    assert not told, "a file on the way of ticks tells broker or symbol"
