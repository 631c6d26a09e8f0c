"""What was refused is audited; who tries on and on does not fill the trail."""

import math
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.api_gateway.identity.refusals import (
    MAX_EVENTS,
    MAX_EVENTS_OF_NETWORK,
    WINDOW_S,
    RefusalFold,
)

Running = Any
CODE = "identity.code.refused"


def written(
    fold: RefusalFold, targets: int, *, network: str = "10.0.0.0/24", times: int = 1
) -> int:
    """How many events come of so many targets, each tried so often."""
    tries = (str(target).encode() for _ in range(times) for target in range(targets))
    return sum(fold.due("a", target, network) is not None for target in tries)


def test_repeats_of_one_source_are_folded() -> None:
    fold = RefusalFold(ManualClock())
    told = [fold.due("a", b"x", "n") for _ in range(1000)]
    assert [count for count in told if count] == [2**power for power in range(10)]
    assert fold.due("b", b"x", "n") == 1, "another action is counted by itself"


def test_one_network_with_ever_new_targets_has_a_share() -> None:
    fold = RefusalFold(ManualClock())
    most = MAX_EVENTS_OF_NETWORK + math.ceil(math.log2(100_000))
    assert MAX_EVENTS_OF_NETWORK < written(fold, 100_000) <= most
    assert written(fold, 5, network="other") == 5, "another network is heard all the same"


@async_test
async def test_all_networks_together_have_a_limit_and_the_next_hour_begins_anew() -> None:
    clock = ManualClock()
    fold = RefusalFold(clock)
    events = sum(written(fold, 40, network=f"n{number}") for number in range(2000))
    assert events <= MAX_EVENTS + MAX_EVENTS // MAX_EVENTS_OF_NETWORK * 8 + 20
    assert len(fold._counts) <= MAX_EVENTS + 2 + MAX_EVENTS // MAX_EVENTS_OF_NETWORK
    await clock.advance(WINDOW_S + 1)
    assert written(fold, 3, network="n7") == 3


@pytest.mark.integration
@async_test
async def test_refused_codes_and_throttled_logins_are_in_the_trail(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        user = await gate.user(tenant)
        for _ in range(7):
            await gate.login(tenant, password="wrong")  # noqa: S106  # pragma: allowlist secret
        assert (await gate.login(tenant)).code == "LOGIN_THROTTLED"
        refused, throttled = (
            [
                row
                for row in gate.audit(f"identity.login.{how}")
                if row["subject"] == f"user:{user}"
            ]
            for how in ("refused", "throttled")
        )
        assert len(refused) == 3, "of five, the first, second and fourth"
        assert len(throttled) == 2, "of three, the first and second"
        assert all(row["security"] and row["outcome"] == "denied" for row in refused + throttled)
        assert {row["tenant_id"] for row in throttled} == {row["tenant_id"] for row in refused}


@pytest.mark.integration
@async_test
async def test_a_code_for_an_organisation_that_there_is_not_concerns_the_platform(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        made = await gate.command("login-link", tenant=tenant, user="trader")
        code = made["code"]
        ours = str(gate.sql(f"SELECT id FROM identity.tenants WHERE name = '{tenant}'")[0]["id"])  # noqa: S608
        assert (await gate.post("/auth/link", {"code": code})).status == 200
        before = {row["id"] for row in gate.audit(CODE)}
        for _ in range(2):
            assert (await gate.post("/auth/link", {"code": code})).code == "CODE_REFUSED"
        strange = ("A" if code[0] != "A" else "B") + code[1:]
        assert (await gate.post("/auth/link", {"code": strange})).code == "CODE_REFUSED"
        new = [row for row in gate.audit(CODE) if row["id"] not in before]
        nobody = str(UUID(int=0))
        assert sorted(str(row["tenant_id"]) for row in new) == sorted([ours, ours, nobody])
