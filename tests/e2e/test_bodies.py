"""What takes no body refuses one, on the running platform: every operation, from its declaration.

What stops or reduces is never refused because of what is sent along.
"""

import re
from typing import Final

import pytest
from harness.platform import Platform
from harness.positions import operations

from aitrading.server.kit.limit_levels import LimitKind

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
BODILESS: Final = [
    each
    for _, each in operations()
    if each.body is None and not each.access.peers and each.limit is not LimitKind.EXEMPT
]
BEFORE_THE_BODY: Final = {"SCOPE_MISSING", "SECOND_FACTOR_NEEDED", "STEP_UP_NEEDED"}
"""Refusals of who asks come before a look at what is asked."""
ORGANISATION: Final = "bodies"


def test_a_body_that_nobody_reads_is_refused(platform: Platform) -> None:
    platform.cli("tenant", "create", ORGANISATION)
    platform.cli("user", "create", "owner", "--tenant", ORGANISATION, "--role", "owner")
    heard: dict[str, tuple[int, str]] = {}
    for each in BODILESS:
        path = re.sub(r"\{[^}]*\}", "00000000-0000-7000-8000-000000000000", each.path)
        status, answer = platform.request(
            each.method, path, person=f"{ORGANISATION}/owner", body={"tenant": "demo"}
        )
        code = answer["error"]["code"] if isinstance(answer, dict) and "error" in answer else ""
        heard[f"{each.method} {each.path}"] = (status, code)
    before = [name for name, (_, code) in heard.items() if code in BEFORE_THE_BODY]
    wrong = {
        name: answer
        for name, answer in heard.items()
        if name not in before and answer != (400, "REQUEST_INVALID")
    }
    assert not wrong
    assert len(before) < len(heard) / 4, "most of them were asked"


@pytest.mark.parametrize("body", [None, {}, [], {"reason": "panic"}])
def test_nothing_that_somebody_sends_along_keeps_the_kill_switch_from_acting(
    platform: Platform, body: object
) -> None:
    status, answer = platform.request("POST", "/api/v1/kill", person="other/owner", body=body)
    assert (status, answer["engaged"]) == (200, True)
