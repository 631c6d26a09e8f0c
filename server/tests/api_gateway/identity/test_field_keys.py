"""Master keys of personal data: made anew while people log in, and missed when they are gone."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.secret import Secret
from aitrading.core.security.field_encryption import MasterKeys
from aitrading.core.testing.async_test import async_test
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.personal_data.catalogue import USER_NAME
from aitrading.server.personal_data.keys import FieldKeys

pytestmark = pytest.mark.integration
Running = Callable[[str], AbstractAsyncContextManager[Any]]


@pytest.fixture
def own(postgres_server: PostgresServer, migrate: Callable[[str], None]) -> str:
    """A database of its own: what a rotation did to a shared one, no other test could read."""
    name = postgres_server.empty_database()
    migrate(name)
    return name


async def id_of(gate: Any, tenant: str) -> TenantId:
    rows = await gate.listing("tenants")
    return TenantId(next(UUID(row["id"]) for row in rows if row["name"] == tenant))


async def code_of(gate: Any, tenant: TenantId, keys: FieldKeys) -> str:
    with pytest.raises(AitradingError) as refused:
        async with gate.pool.tenant_tx(tenant) as tx:
            await keys.of(tx)
    return refused.value.code


@async_test
async def test_a_rotation_wraps_every_key_and_changes_no_value(gateway: Running, own: str) -> None:
    async with gateway(own) as gate:
        tenant, other = await gate.tenant(), await gate.tenant()
        await gate.user(tenant)
        place = await id_of(gate, tenant)
        elsewhere = FieldKeys(gate.masters.load)  # another process, started before
        before = gate.sql(
            f"SELECT id, name_sealed FROM identity.users WHERE tenant_id = '{place}'"  # noqa: S608
        )
        old, file_key = [each for each in await gate.listing("keys") if each["newest"]]
        assert (old["purpose"], file_key["purpose"]) == ("fields", "files")
        done = await gate.command("keys/rotate")
        assert done["number"] == old["number"] + 1
        assert done["file_key"] == 2
        assert done["rewrapped"] == 3  # these two and the platform's own
        listed = await gate.listing("keys")
        counts = {each["number"]: each["wraps"] for each in listed if each["wraps"] is not None}
        files = [each["newest"] for each in listed if each["purpose"] == "files"]
        assert files == [False, True]
        assert counts == {old["number"]: 0, done["number"]: done["rewrapped"]}
        after = gate.sql(
            f"SELECT id, name_sealed FROM identity.users WHERE tenant_id = '{place}'"  # noqa: S608
        )
        assert before == after
        assert (await gate.login(tenant)).status == 200
        async with gate.pool.tenant_tx(place) as tx:
            fields = await elsewhere.of(tx)
        assert fields.open(USER_NAME, before[0]["id"], before[0]["name_sealed"]) == "trader"
        noted = {row["tenant_id"] for row in gate.audit("identity.key.rewrapped")}
        assert {place, await id_of(gate, other)} <= noted


@async_test
async def test_a_database_without_its_master_key_says_so(gateway: Running, own: str) -> None:
    async with gateway(own) as gate:
        place = await id_of(gate, await gate.tenant())
        stranger = Secret(b"\x99" * 32)
        newest = gate.masters.numbers()[-1]
        wrong = FieldKeys(lambda: MasterKeys({newest: stranger}))
        assert await code_of(gate, place, wrong) == "FIELD_KEY_UNREADABLE"
        missing = FieldKeys(lambda: MasterKeys({newest + 1: stranger}))
        assert await code_of(gate, place, missing) == "FIELD_MASTER_MISSING"


@async_test
async def test_a_value_moved_to_another_row_does_not_open(gateway: Running, own: str) -> None:
    """Who can write to the database cannot give one person the name of another."""
    async with gateway(own) as gate:
        tenant = await gate.tenant()
        victim, thief = await gate.user(tenant, "victim"), await gate.user(tenant, "thief")
        gate.sql(
            "UPDATE identity.users t SET name_sealed = v.name_sealed FROM identity.users v"  # noqa: S608
            f" WHERE t.id = '{thief}' AND v.id = '{victim}'"
        )
        with pytest.raises(AitradingError) as refused:
            await gate.listing("users", tenant=tenant)
        assert refused.value.code == "FIELD_UNREADABLE"
        assert (await gate.login(tenant, "victim")).status == 200
        assert (await gate.login(tenant, "thief")).status == 500


def replace_master(gate: Any) -> None:
    """As if somebody had put another home's key there."""
    (path,) = (gate.masters_folder).glob("master-*.key")
    path.write_bytes(b"\x42" * 32)


@async_test
async def test_keys_of_another_home_are_told_to_the_host_and_not_to_strangers(
    gateway: Running, own: str
) -> None:
    async with gateway(own) as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        replace_master(gate)
        gate.identity.login._keys._masters = gate.masters.load()
        answer = await gate.login(tenant)
        assert (answer.status, answer.json["error"]["code"]) == (500, "INTERNAL_ERROR")
        with pytest.raises(AitradingError) as refused:
            await gate.command("keys/rotate")
        assert refused.value.code == "FIELD_KEY_UNREADABLE"
        assert len(gate.masters.numbers()) == 1, "nothing was changed"


@async_test
async def test_a_missing_master_key_is_listed_with_what_it_wraps(
    gateway: Running, own: str
) -> None:
    async with gateway(own) as gate:
        await gate.tenant()
        await gate.command("keys/rotate")
        newest = gate.masters.numbers()[-1]
        (gate.masters_folder / f"master-{newest:04d}.key").unlink()
        keys = await gate.listing("keys")
        listed = {each["number"]: each for each in keys if each["purpose"] == "fields"}
        assert (listed[newest]["present"], listed[newest]["wraps"]) == (False, 2)


@async_test
async def test_a_cut_master_key_is_no_key(gateway: Running, own: str) -> None:
    async with gateway(own) as gate:
        for length in (0, 10, 16, 24, 31, 33):
            (gate.masters_folder / "master-0001.key").write_bytes(b"k" * length)
            with pytest.raises(AitradingError) as refused:
                gate.masters.load()
            assert refused.value.code == "KEY_INVALID"
