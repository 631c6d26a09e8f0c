"""An organisation is suspended, let in again, and erased: who is out, what is unreadable."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.infrastructure.event_bus import EVERYWHERE, EventEnvelope
from aitrading.core.infrastructure.events import SubscriptionChanged, TokensRevoked
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import NO_RATES, RateClaims
from aitrading.core.security.crypto import TlsKey, create_csr
from aitrading.core.security.field_encryption import TenantFields
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.api_gateway.identity import revocations
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.personal_data.catalogue import CATALOGUE
from aitrading.server.supervisor.demo.seed import Seeding

pytestmark = pytest.mark.integration


Running = Callable[..., AbstractAsyncContextManager[Any]]
HELD = ("users", "devices", "accounts")
PASSWORD = "correct horse battery staple"  # noqa: S105 - of everybody here
ACCOUNT = {"name": "A", "broker_server": "Demo", "currency": "EUR"}


@pytest.fixture
def own(postgres_server: PostgresServer, migrate: Callable[[str], None]) -> str:
    """A database of its own, whose every key can be looked at."""
    name = postgres_server.empty_database()
    migrate(name)
    return name


async def refusal(gate: Any, path: str, **body: Any) -> str:
    with pytest.raises(AitradingError) as caught:
        await gate.command(path, **body)
    return caught.value.code


async def id_of(gate: Any, tenant: str) -> TenantId:
    rows = await gate.listing("tenants")
    return TenantId(next(UUID(row["id"]) for row in rows if row["name"] == tenant))


async def state_of(gate: Any, tenant: str) -> str:
    return next(
        str(row["state"]) for row in await gate.listing("tenants") if row["name"] == tenant
    )


async def furnished(gate: Any, login: str) -> str:
    """An organisation with one of everything that has a name."""
    tenant = await gate.tenant()
    await gate.user(tenant)
    device = (await gate.command("devices/invite", tenant=tenant, name="desk"))["device"]
    await gate.command("accounts", tenant=tenant, login=login, device=device, **ACCOUNT)
    return str(tenant)


async def enrol(gate: Any, code: str) -> Any:
    csr = create_csr(TlsKey.generate(), common_name="client").decode()
    return await gate.post("/devices/enroll", {"code": code, "csr": csr})


@async_test
async def test_a_suspended_organisation_is_out_at_once_and_comes_back(gateway: Running) -> None:
    async with gateway() as gate:
        tenant, other = await furnished(gate, "1"), await gate.tenant()
        await gate.user(other)
        changed: list[TenantId | None] = []

        async def note(_: SubscriptionChanged, envelope: EventEnvelope) -> None:
            changed.append(envelope.tenant)

        await gate.bus.subscribe(SubscriptionChanged, note, scope=EVERYWHERE)
        cookies, theirs = await gate.browser(tenant), await gate.browser(other)
        access = gate.shown(cookies)
        invitation = await gate.command("devices/invite", tenant=tenant, name="second")
        await gate.command("tenants/state", tenant=tenant, state="suspended")
        assert (await gate.get("/auth/me", cookie=access)).code == "TOKEN_REFUSED"
        assert (await gate.get("/devices", cookie=access)).code == "TOKEN_REFUSED"
        wrong = await gate.login(tenant, password="not the password at all")  # noqa: S106
        right = await gate.login(tenant)
        assert (right.status, right.code) == (wrong.status, wrong.code) == (401, "LOGIN_REFUSED")
        assert await refusal(gate, "tokens", tenant=tenant, user="trader") == "LOGIN_REFUSED"
        assert (await enrol(gate, invitation["code"])).code == "CODE_REFUSED"
        assert (await gate.login(other)).status == 200
        still = gate.shown(theirs)
        assert (await gate.get("/auth/me", cookie=still)).status == 200
        assert await state_of(gate, tenant) == "suspended"
        await gate.command("tenants/state", tenant=tenant, state="active")
        assert (await gate.login(tenant)).status == 200
        assert (await gate.get("/auth/me", cookie=access)).code == "TOKEN_REFUSED"
        assert (await enrol(gate, invitation["code"])).status == 200
        place = await id_of(gate, tenant)
        assert set(changed) == {place}
        assert len(changed) == 2
        for action in ("identity.tenant.suspended", "identity.tenant.activated"):
            (event,) = [row for row in gate.audit(action) if row["tenant_id"] == place]
            assert event["subject"] == f"tenant:{place}"


@async_test
async def test_a_device_of_a_suspended_organisation_is_not_entitled(gateway: Running) -> None:
    """Also without a plan: that is what the bridge asks before it lets a link live."""
    async with gateway() as gate:
        tenant = await furnished(gate, "1")
        place = await id_of(gate, tenant)
        (device,) = await gate.listing("devices", tenant=tenant)
        for state, plan in (("suspended", "suspended"), ("active", "none")):
            await gate.command("tenants/state", tenant=tenant, state=state)
            found = await gate.identity.devices.state(place, UUID(device["device"]))
            assert found.subscription == plan
            assert found.rates == NO_RATES


@async_test
async def test_a_device_has_the_limits_of_its_organisation(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await furnished(gate, "1")
        await gate.command("subscriptions", tenant=tenant, plan="pro")
        gate.sql(
            "INSERT INTO app.tenant_settings SELECT id, 'limits.connections_per_minute', '17',"
            " now(), 'a test' FROM identity.tenants WHERE state = 'active'"
        )
        other = await furnished(gate, "2")
        told: list[RateClaims] = []
        for name in (tenant, other):
            (device,) = await gate.listing("devices", tenant=name)
            of = await id_of(gate, name)
            told.append((await gate.identity.devices.state(of, UUID(device["device"]))).rates)
        granted = {"connections_per_minute": 17}
        assert told == [RateClaims(plan="pro", granted=granted), NO_RATES]


@async_test
async def test_a_login_that_is_under_way_does_not_outlive_the_suspension(gateway: Running) -> None:
    """The session that begins holds the organisation's row; the suspension waits and ends it."""
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        place = await id_of(gate, tenant)
        body = {"tenant": tenant, "username": "trader", "password": PASSWORD}
        networks = [{"x_forwarded_for": f"198.51.{number}.1"} for number in range(8)]
        answers = await asyncio.gather(  # noqa: TID251 - the race is the test
            *(gate.post("/auth/login", body, **each) for each in networks),
            gate.command("tenants/state", tenant=tenant, state="suspended"),
        )
        assert {answer.status for answer in answers[:8]} <= {200, 401}
        alive = gate.sql(
            f"SELECT id FROM identity.sessions WHERE tenant_id = '{place}' AND ended_at IS NULL"  # noqa: S608
        )
        assert alive == []


@async_test
async def test_repeating_changes_nothing_and_notes_nothing(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        place = await id_of(gate, tenant)
        for state in ("active", "suspended", "suspended"):
            await gate.command("tenants/state", tenant=tenant, state=state)
        for action, times in (("suspended", 1), ("activated", 0)):
            noted = gate.audit(f"identity.tenant.{action}")
            assert len([row for row in noted if row["tenant_id"] == place]) == times


@async_test
async def test_more_sessions_than_one_event_holds_are_all_told(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "MAX_TOLD_SESSIONS", 2)
    told: list[UUID] = []

    async def note(event: TokensRevoked, _: EventEnvelope) -> None:
        told.extend(event.sessions)

    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        await gate.bus.subscribe(TokensRevoked, note, scope=None)
        for _ in range(5):
            assert (await gate.login(tenant)).status == 200
        await gate.command("tenants/state", tenant=tenant, state="suspended")
        await eventually(lambda: len(set(told)) == 5)


@async_test
async def test_an_erasure_needs_the_name_again(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        place = str(await id_of(gate, tenant))
        for typed in ("", tenant.upper(), place, "other"):
            code = await refusal(gate, "tenants/erase", tenant=place, confirm=typed)
            assert code == "TENANT_NOT_CONFIRMED"
        assert await refusal(gate, "tenants/erase", tenant="no", confirm="no") == (
            "IDENTITY_UNKNOWN"
        )
        assert await refusal(gate, "tenants/state", tenant=tenant, state="erased") == (
            "REQUEST_INVALID"
        )
        assert await state_of(gate, tenant) == "active"


def everything_that_opens(gate: Any) -> dict[UUID, set[str]]:
    """What can be read with all that the installation has, by organisation.

    Each sealed value is tried with every master key and every organisation's key.
    """
    masters = gate.masters.load()
    keys = [Secret(path.read_bytes()) for path in gate.masters_folder.glob("master-*.key")]
    keys += [
        masters.unwrap(TenantId(UUID(str(row["tenant_id"]))), row["master"], row["wrapped"])
        for row in gate.sql("SELECT tenant_id, master, wrapped FROM app.tenant_keys")
    ]
    found: dict[UUID, set[str]] = defaultdict(set)
    for field in CATALOGUE:
        for row in gate.sql(f"SELECT tenant_id, id, {field.column}_sealed FROM {field.table}"):  # noqa: S608
            tenant = TenantId(UUID(str(row["tenant_id"])))
            for key in keys:
                with suppress(AitradingError):
                    value = TenantFields(tenant, key).open(
                        field, row["id"], row[f"{field.column}_sealed"]
                    )
                    found[tenant].add(value)
    return dict(found)


@async_test
async def test_what_was_erased_opens_with_nothing_that_is_left(gateway: Running, own: str) -> None:
    async with gateway(own) as gate:
        tenant, other = await furnished(gate, "1001"), await furnished(gate, "2002")
        place, elsewhere = await id_of(gate, tenant), await id_of(gate, other)
        await gate.command("keys/rotate")
        before = everything_that_opens(gate)
        assert before[place] == {"trader", "T", "desk", "A", "1001"}, "the search is blind"
        done = await gate.command("tenants/erase", tenant=tenant, confirm=tenant)
        assert done == {"tenant": str(place), "sessions_ended": 0, "devices_revoked": 1}
        assert everything_that_opens(gate) == {elsewhere: before[elsewhere]}
        await gate.command("keys/rotate")
        assert everything_that_opens(gate) == {elsewhere: before[elsewhere]}
        with pytest.raises(AitradingError) as refused:
            async with gate.pool.tenant_read(place) as tx:
                await gate.keys.of(tx)
        assert refused.value.code == "FIELD_KEY_MISSING"
        (event,) = gate.audit("identity.tenant.erased")
        assert (event["tenant_id"], event["subject"]) == (place, f"tenant:{place}")
        assert tenant not in str(dict(event))


@async_test
async def test_nothing_fails_because_an_erased_organisation_exists(
    gateway: Running, own: str
) -> None:
    async with gateway(own) as gate:
        tenant, other = await furnished(gate, "1001"), await furnished(gate, "2002")
        await gate.command("subscriptions", tenant=tenant, plan="pro")
        place = await id_of(gate, tenant)
        cookies = await gate.browser(tenant)
        (device,) = await gate.listing("devices", tenant=tenant)
        await gate.command("tenants/erase", tenant=str(place), confirm=tenant)
        for listing in HELD:
            names = [each["name"] for each in await gate.listing(listing, tenant=tenant)]
            assert names == ["(erased)"]
            assert "(erased)" not in str(await gate.listing(listing, tenant=other))
        assert await state_of(gate, tenant) == "erased"
        assert [row["name"] for row in await gate.listing("subscriptions/people", tenant=tenant)]
        found = await gate.identity.devices.state(place, UUID(device["device"]))
        assert (found.state, found.subscription) == ("revoked", "suspended")
        assert (place, UUID(device["device"])) in gate.revoked
        access = gate.shown(cookies)
        assert (await gate.get("/auth/me", cookie=access)).code == "TOKEN_REFUSED"
        assert (await gate.login(tenant)).code == "LOGIN_REFUSED"
        assert sum(each["wraps"] or 0 for each in await gate.listing("keys")) == 2
        assert (await gate.command("keys/rotate"))["rewrapped"] == 2  # the other, the platform
        await gate.identity.housekeeping.clean()
        assert (await gate.login(other)).status == 200


@async_test
async def test_nothing_can_be_added_to_an_erased_organisation(gateway: Running, own: str) -> None:
    async with gateway(own) as gate:
        tenant = await furnished(gate, "1001")
        await gate.command("tenants/erase", tenant=tenant, confirm=tenant)
        person = {"user": "new", "display_name": "N", "role": "viewer"}
        for path, body in (
            ("users", person),
            ("devices/invite", {"name": "new"}),
            ("accounts", {"login": "3", **ACCOUNT}),
            ("subscriptions", {"plan": "pro"}),
            ("tenants/state", {"state": "active"}),
            ("tenants/erase", {"confirm": tenant}),
        ):
            assert await refusal(gate, path, tenant=tenant, **body) == "TENANT_ERASED", path
        for path in ("users/password", "login-link", "tokens"):
            code = await refusal(gate, path, tenant=tenant, user="trader")
            assert code == "IDENTITY_UNKNOWN", path
        assert await refusal(gate, "tenants", name=tenant) == "IDENTITY_EXISTS"
        assert len(gate.sql("SELECT * FROM app.tenant_keys")) == 1, "the platform's own"


@async_test
async def test_a_key_that_was_lost_is_not_taken_for_an_erasure(gateway: Running, own: str) -> None:
    """Only who asked for an erasure has one; a row that vanished is told as what it is."""
    async with gateway(own) as gate:
        tenant = await furnished(gate, "1001")
        place = await id_of(gate, tenant)
        gate.sql(f"DELETE FROM app.tenant_keys WHERE tenant_id = '{place}'")  # noqa: S608
        with pytest.raises(AitradingError) as caught:
            await gate.listing("users", tenant=tenant)
        assert caught.value.code == "FIELD_KEY_MISSING"
        assert await refusal(gate, "keys/rotate") == "FIELD_KEY_MISSING"


@async_test
async def test_a_demo_does_without_what_was_erased_or_says_so(gateway: Running, own: str) -> None:
    async with gateway(own) as gate:
        seeding = Seeding(gate.admin)
        await seeding.run(enrol=False)
        await gate.command("tenants/erase", tenant="other", confirm="other")
        assert (await seeding.run(enrol=False)).link_code
        await gate.command("tenants/erase", tenant="demo", confirm="demo")
        with pytest.raises(AitradingError) as refused:
            await seeding.run(enrol=False)
        assert refused.value.code == "DEMO_ERASED"
