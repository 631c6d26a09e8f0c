"""Who lets identity tell or allow too much is found by a test that is there already."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import pytest
from harness.planting import Weakness, planted, turns_red

from aitrading.server.api_gateway.identity.devices import Devices
from aitrading.server.api_gateway.identity.login import Login
from aitrading.server.engines.shared import PostgresServer

pytestmark = pytest.mark.integration
Running = Callable[..., AbstractAsyncContextManager[Any]]
HERE = "server/tests/api_gateway/identity"
WEAKNESSES = {
    "a renewal that anybody signs": Weakness(
        function=Devices._may_renew,
        piece='signed_by(row["public_key"], request.signature, message)',
        weak="True",
        found_by=f"{HERE}/test_devices.py::test_a_renewal_that_proves_nothing_is_refused",
    ),
    "whether a user exists": Weakness(
        function=Login._decide,
        piece="raise LOGIN_REFUSED.error()",
        weak="raise (IDENTITY_UNKNOWN.error(what='x') if account.user == NOBODY else LOGIN_REFUSED.error())",
        found_by=f"{HERE}/test_login.py::test_nothing_tells_an_existing_user_from_a_missing_one",
    ),
    "a revoked device of which nobody is told": Weakness(
        function=Devices.revoke,
        piece="await self._bus.publish(event, tenant=tenant)",
        weak="pass",
        found_by=f"{HERE}/test_devices.py::test_a_revoked_device_is_out_and_everybody_is_told",
    ),
}
WALL = f"{HERE}/test_devices.py::test_one_tenant_does_not_see_the_devices_of_another"


@pytest.mark.parametrize("weakness", WEAKNESSES.values(), ids=WEAKNESSES)
def test_a_weakness_turns_its_test_red(weakness: Weakness, gateway: Running) -> None:
    with planted(weakness):
        assert turns_red(weakness.found_by, gateway=gateway)


def test_a_wall_between_organisations_that_is_gone_turns_its_test_red(
    gateway: Running, postgres: PostgresServer
) -> None:
    with without_wall(postgres, "identity.devices"):
        assert turns_red(WALL, gateway=gateway)
    assert not turns_red(WALL, gateway=gateway)


@contextmanager
def without_wall(postgres: PostgresServer, table: str) -> Iterator[None]:
    """Row security off for one table, as by a forgotten line of a migration."""
    postgres.as_superuser(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    try:
        yield
    finally:
        postgres.as_superuser(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
