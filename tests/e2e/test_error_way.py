"""An error's way: it happens in one service, travels over the bus, and its owner alone finds it."""

from http import HTTPStatus
from typing import Any, Final

import pytest
from harness.platform import Platform, wait_until
from harness.postgres import locked

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
CODE: Final = "DATABASE_LOCK_TIMEOUT"
OWNER, STRANGER = "demo/owner", "other/owner"


def known(platform: Platform, person: str) -> dict[str, Any]:
    items = platform.get("/api/v1/errors?limit=500", person=person)["items"]
    return {each["code"]: each for each in items}


def test_an_error_of_a_request_is_found_by_its_organisation_and_by_no_other(
    platform: Platform,
) -> None:
    platform.token(OWNER)
    with locked(platform, "identity.devices"):
        status, answer = platform.request("GET", "/api/v1/devices", person=OWNER)
    assert (status, answer["error"]["code"]) == (HTTPStatus.SERVICE_UNAVAILABLE, CODE)
    found = wait_until(lambda: known(platform, OWNER).get(CODE), what="the error being kept")
    assert found["services"] == ["api-gateway"]
    assert CODE not in known(platform, STRANGER)
    own = platform.cli_json("errors", "recent")
    fingerprints = {each["fingerprint"] for each in own}
    assert found["fingerprint"] not in fingerprints, "counted as the platform's own as well"
    status, answer = platform.request(
        "GET", f"/api/v1/errors/{found['fingerprint']}", person=STRANGER
    )
    assert (status, answer["error"]["code"]) == (HTTPStatus.NOT_FOUND, "ERROR_NOT_SEEN")
