"""Tokens of devices through the real edge: worth something with their certificate alone."""

from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from harness.platform import Platform, wait_until

from aitrading.client.security.device_calls import TOKEN_PATH, DeviceCalls
from aitrading.client.security.device_files import DeviceFiles, DeviceRecord
from aitrading.client.security.enrolment import enrol, parse_server
from aitrading.client.security.server_api import ServerApi
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.device_requests import DevicePurpose

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
FORGET: Final = "/api/v1/devices/credentials/forget"
TENANT: Final = "other"


class Given(msgspec.Struct, frozen=True):
    access_token: str


class Nothing(msgspec.Struct, frozen=True):
    pass


class Desk:
    """An enrolled client."""

    def __init__(self, platform: Platform, home: Path, name: str) -> None:
        self.platform, self.name = platform, name
        invited = platform.cli_json("device", "invite", name, "--tenant", TENANT)
        self.files = DeviceFiles(home / name)
        self.record: DeviceRecord = enrol(self.files, invited["code"], parse_server(platform.url))
        self.calls = DeviceCalls(self.files, self.record, SystemClock())

    def forget(self) -> Any:
        """What the running client asks, as it asks it."""
        return self.calls.ask(DevicePurpose.FORGET, FORGET, {}, Nothing)

    def api(self, *, shows_certificate: bool = True) -> ServerApi:
        shown = self.files.tls if shows_certificate else None
        return ServerApi(self.record.server, self.record.trust, shown)

    def token(self) -> str:
        return self.api().post_with(None, TOKEN_PATH, None, Given).access_token


def refused(api: ServerApi, token: str | None, path: str = FORGET) -> str:
    with pytest.raises(AitradingError) as caught:
        api.post_with(token, path, None, Nothing)
    return caught.value.code


def test_a_stolen_token_of_a_device_opens_nothing_and_a_revoked_device_gets_none(
    platform: Platform, tmp_path: Path
) -> None:
    ours, thief = Desk(platform, tmp_path, "token-desk"), Desk(platform, tmp_path, "token-thief")
    ours.forget()
    token = ours.token()
    assert refused(thief.api(), token) == "TOKEN_REFUSED"
    assert refused(thief.api(shows_certificate=False), token) == "TOKEN_REFUSED"
    assert refused(ours.api(shows_certificate=False), None, TOKEN_PATH) == "DEVICE_TOKEN_REFUSED"
    assert refused(ours.api(), None) == "TOKEN_MISSING"
    assert refused(ours.api(), token, "/api/v1/auth/logout") == "EDGE_NO_ROUTE"
    assert refused(ours.api(), token) == "REQUEST_INVALID", "the token itself is right"
    platform.cli_json("device", "revoke", str(ours.record.device), "--tenant", TENANT)
    wait_until(lambda: refused(ours.api(), token) == "TOKEN_REFUSED", what="the end of its token")
    with pytest.raises(AitradingError) as caught:
        ours.forget()
    assert caught.value.code == "DEVICE_TOKEN_REFUSED"
    thief.forget()
