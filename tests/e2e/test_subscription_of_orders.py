"""A paused subscription stops new exposure on the running platform, and nothing that gets out."""

from typing import Any, Final

import pytest
from harness.platform import ORDER, Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
TENANT: Final = "lapsed"
PERSON: Final = f"{TENANT}/owner"


def test_the_trading_engine_asks_before_it_answers(platform: Platform) -> None:
    def order() -> tuple[int, str]:
        status, answer = platform.request("POST", "/api/v1/orders", person=PERSON, body=ORDER)
        return status, answer["error"]["code"]

    def refused_as(status: int, code: str) -> Any:
        return wait_until(lambda: order() == (status, code), what=code)

    platform.cli("tenant", "create", TENANT)
    platform.cli("user", "create", "owner", "--tenant", TENANT, "--role", "owner")
    platform.cli("subscription", "set", "pro", "--tenant", TENANT)
    refused_as(409, "TRADING_NOT_AVAILABLE")
    platform.cli("subscription", "pause", "--tenant", TENANT)
    refused_as(403, "SUBSCRIPTION_INACTIVE")
    status, answer = platform.request("DELETE", "/api/v1/orders/x", person=PERSON)
    assert (status, answer["error"]["code"]) == (409, "TRADING_NOT_AVAILABLE")
    assert platform.request("POST", "/api/v1/kill", person=PERSON)[0] == 200
    platform.cli("subscription", "resume", "--tenant", TENANT)
    refused_as(409, "TRADING_NOT_AVAILABLE")
