"""The key of access tokens is rotated under running requests and streams; nobody notices."""

import base64
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from harness.platform import Platform, wait_until
from harness.streams import answers, open_stream

from aitrading.client.config_manager.keeper import PATH as CONFIGURATION_PATH
from aitrading.client.security.device_calls import DeviceCalls
from aitrading.client.security.device_files import DeviceFiles
from aitrading.client.security.server_api import ServerApi
from aitrading.core.kit.clock import SystemClock
from aitrading.core.security.config_bundle import SignedBundle
from aitrading.core.security.crypto import inspect_certificate
from aitrading.core.security.device_requests import DevicePurpose
from aitrading.core.security.server_pins import open_pins
from aitrading.server.cli.host import Host
from aitrading.server.cli.session import GivenToken

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
PATHS = ("/api/v1/auth/me", "/api/v1/quotes", "/api/v1/risk", "/api/v1/ticks?symbol=EURUSD")


def fresh_token(platform: Platform) -> str:
    """Signed a moment ago, by the key that signs at this moment."""
    who = {"tenant": "demo", "user": "viewer"}
    return Host(platform.home).post("tokens", who, GivenToken).token


def kid_of(token: str) -> str:
    head = token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])


def status_of(platform: Platform, path: str, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return platform.request("GET", path, person=None, headers=headers)[0]


@contextmanager
def asking(platform: Platform, old: str, refused: list[tuple[str, str]]) -> Iterator[list[int]]:
    """Ask all services without a pause, with the old token and with the newest."""
    done, answered = Event(), [0]

    def ask() -> None:
        while not done.is_set():
            for token in (old, fresh_token(platform)):
                for path in PATHS:
                    status = status_of(platform, path, token)
                    answered[0] += 1
                    if status not in {200, 404}:
                        refused.append((path, f"{status} {kid_of(token)}"))

    thread = Thread(target=ask)
    thread.start()
    try:
        yield answered
    finally:
        done.set()
        thread.join()


def published(platform: Platform) -> set[str]:
    document = json.loads((platform.home / "trust/user-keys.jwks").read_bytes())
    return {key["kid"] for key in document["keys"]}


def test_no_request_fails_and_no_stream_ends_while_the_key_is_rotated(platform: Platform) -> None:
    old = fresh_token(platform)
    refused: list[tuple[str, str]] = []
    with open_stream(platform, old) as stream, asking(platform, old, refused) as answered:
        assert answers(stream)
        wait_until(lambda: answered[0] > len(PATHS), what="requests under way")
        done = platform.cli_json("keys", "rotate-tokens")
        at_once = answered[0]
        wait_until(lambda: answered[0] > at_once + 4 * len(PATHS), what="requests after it")
        assert answers(stream)
    assert refused == []
    assert kid_of(fresh_token(platform)) == done["kid"] != kid_of(old)
    assert {kid_of(old), done["kid"]} <= published(platform)
    events = platform.cli_json("audit", "list", "--type", "identity.token_key.rotated")
    assert any(each["subject"] == f"token_key:{done['kid']}" for each in events["items"])


def test_tokens_of_a_leaked_key_are_refused_everywhere_and_new_ones_are_not(
    platform: Platform,
) -> None:
    old = fresh_token(platform)
    assert {status_of(platform, path, old) for path in PATHS} <= {200, 404}
    done = platform.cli_json("keys", "rotate-tokens", "--leaked")
    assert published(platform) == {done["kid"]}
    platform.forget_tokens()
    for path in PATHS:
        wait_until(lambda path=path: status_of(platform, path, old) == 401, what=path)
        assert status_of(platform, path, fresh_token(platform)) in {200, 404}


def test_the_edge_shows_its_backup_key_and_devices_believe_it(platform: Platform) -> None:
    home = platform.home / "clients" / "demo"
    wait_until(lambda: DeviceFiles(home).load().pins_version, what="the device's certificate")
    known = DeviceFiles(home).load()
    assert (known.pins_version, known.server_keys[0]) == (2, shown_key(platform))
    done = platform.cli_json("keys", "rotate-edge")
    assert done["in_use"] == known.server_keys[1]
    wait_until(lambda: shown_key(platform) == done["in_use"], what="the backup key at the edge")
    ServerApi(known.server, known.trust).get("/health/live", dict[str, object])
    calls = DeviceCalls(DeviceFiles(home), known, SystemClock())
    wanted = {"version": 0, "digest": "", "problem": ""}
    bundle = calls.ask(DevicePurpose.CONFIGURATION, CONFIGURATION_PATH, wanted, SignedBundle)
    assert bundle.pins is not None
    pins = open_pins(bundle.pins, authority_pem=known.server_ca.encode())
    assert (pins.version, pins.keys) == (3, (done["in_use"], done["backup"]))
    told = platform.cli_json("audit", "security")["items"]
    assert "edge.key.rotated" in {each["action"] for each in told}


def shown_key(platform: Platform) -> str:
    """SHA-256 of the public key that the edge shows to a new connection."""
    server = DeviceFiles(platform.home / "clients" / "demo").load().server
    pem = ssl.get_server_certificate((server.host, server.port))
    return inspect_certificate(pem.encode()).spki_sha256.hex()
