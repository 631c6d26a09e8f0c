"""The line breaks between COMMIT and its answer: each change of identity is made exactly once."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.kit.clock import now_ms
from aitrading.core.security.crypto import TlsKey, create_csr
from aitrading.core.security.encoding import base64url_encode
from aitrading.core.security.renewal import renewal_message
from aitrading.core.testing.async_test import async_test
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.testing.commit_cutter import Cut, cutting

pytestmark = pytest.mark.integration
Running = Callable[..., AbstractAsyncContextManager[Any]]
Act = Callable[[], Awaitable[Any]]
NUMBERS = count(1)
PASSWORD = "correct horse battery staple"  # noqa: S105  # pragma: allowlist secret


def fresh(kind: str) -> str:
    return f"{kind}-{next(NUMBERS)}"


def csr_of(key: TlsKey) -> str:
    return create_csr(key, common_name="client").decode()


@dataclass
class Desk:
    """An organisation with one person; every method prepares a change and gives its last step."""

    gate: Any
    tenant: str

    async def tenant_created(self) -> Act:
        return lambda: self.gate.command("tenants", name=fresh("lost"))

    async def user_created(self) -> Act:
        return lambda: self.gate.user(self.tenant, fresh("user"))

    async def user_password_reset(self) -> Act:
        user = await self._person()
        return lambda: self.post("users/password", user=user)

    async def user_suspended(self) -> Act:
        user = await self._person()
        return lambda: self.post("users/state", user=user, state="suspended")

    async def account_created(self) -> Act:
        given = {"name": fresh("a"), "broker_server": "Demo", "currency": "EUR"}
        return lambda: self.post("accounts", login=str(next(NUMBERS)), **given)

    async def subscription_changed(self) -> Act:
        return lambda: self.post("subscriptions", plan="pro")

    async def login_link_created(self) -> Act:
        user = await self._person()
        return lambda: self.post("login-link", user=user)

    async def device_invited(self) -> Act:
        return lambda: self.post("devices/invite", name=fresh("desk"))

    async def device_enrolled(self) -> Act:
        invitation = await self.post("devices/invite", name=fresh("desk"))
        return lambda: self.enrol(invitation["code"], TlsKey.generate())

    async def device_renewed(self) -> Act:
        invitation = await self.post("devices/invite", name=fresh("desk"))
        old, new = TlsKey.generate(), TlsKey.generate()
        holder = await self.enrol(invitation["code"], old)
        return lambda: self.renew(holder, old, new)

    async def device_revoked(self) -> Act:
        device = (await self.post("devices/invite", name=fresh("desk")))["device"]
        return lambda: self.post("devices/revoke", device=device)

    async def session_opened(self) -> Act:
        user = await self._person()

        async def log_in() -> None:
            assert (await self.gate.login(self.tenant, user)).status == 200

        return log_in

    async def session_ended(self) -> Act:
        token = (await self.logged_in())["access_token"]

        async def log_out() -> None:
            answer = await self.gate.post("/auth/logout", authorization=f"Bearer {token}")
            assert answer.status == 204

        return log_out

    async def _person(self) -> str:
        name = fresh("person")
        await self.gate.user(self.tenant, name)
        return name

    async def logged_in(self) -> Any:
        answer = await self.gate.login(self.tenant, await self._person(), deliver="token")
        assert answer.status == 200, answer.body
        return answer.json

    async def post(self, path: str, **body: Any) -> Any:
        return await self.gate.command(path, tenant=self.tenant, **body)

    async def enrol(self, code: str, key: TlsKey) -> Any:
        answer = await self.gate.post("/devices/enroll", {"code": code, "csr": csr_of(key)})
        assert answer.status == 200, answer.body
        return answer.json

    async def renew(self, holder: Any, old: TlsKey, new: TlsKey) -> None:
        csr, issued_ms = csr_of(new), now_ms(self.gate.clock)
        message = renewal_message(
            tenant=UUID(holder["tenant"]),
            device=UUID(holder["device"]),
            csr_pem=csr.encode(),
            issued_ms=issued_ms,
        )
        body = {
            "tenant": holder["tenant"],
            "device": holder["device"],
            "csr": csr,
            "issued_ms": issued_ms,
            "signature": base64url_encode(old.sign(message)),
        }
        answer = await self.gate.post("/devices/renew", body)
        assert answer.status == 200, answer.body


CHANGES = {
    "identity.tenant.created": Desk.tenant_created,
    "identity.user.created": Desk.user_created,
    "identity.user.password_reset": Desk.user_password_reset,
    "identity.user.suspended": Desk.user_suspended,
    "identity.account.created": Desk.account_created,
    "identity.subscription.changed": Desk.subscription_changed,
    "identity.login_link.created": Desk.login_link_created,
    "identity.device.invited": Desk.device_invited,
    "identity.device.enrolled": Desk.device_enrolled,
    "identity.device.renewed": Desk.device_renewed,
    "identity.device.revoked": Desk.device_revoked,
    "identity.session.opened": Desk.session_opened,
    "identity.session.ended": Desk.session_ended,
}


@pytest.mark.parametrize("cut", Cut)
@async_test
async def test_each_change_is_made_once_and_its_answer_arrives(
    cut: Cut, gateway: Running, postgres: PostgresServer
) -> None:
    """The change is the last thing that is committed: a rehearsal tells how many come before."""
    async with (
        cutting(postgres.access("identity")) as (cutter, access),
        gateway(access=access) as gate,
    ):
        desk = Desk(gate, await gate.tenant())
        for action, prepare in CHANGES.items():
            rehearse, act = await prepare(desk), await prepare(desk)
            began = cutter.seen
            await rehearse()
            cutter.spared = cutter.seen - began - 1
            before = len(gate.audit(action))
            cutter.cuts = [cut]
            await act()
            assert cutter.cuts == [], f"{action} was not cut"
            assert len(gate.audit(action)) == before + 1, action


@async_test
async def test_what_rotates_fits_afterwards(gateway: Running, postgres: PostgresServer) -> None:
    """Without a receipt a device, or a person, would be left with the key that was before."""
    async with (
        cutting(postgres.access("identity")) as (cutter, access),
        gateway(access=access) as gate,
    ):
        desk = Desk(gate, await gate.tenant())
        keys = [TlsKey.generate() for _ in range(3)]
        invitation = await desk.post("devices/invite", name="desk")
        holder = await desk.enrol(invitation["code"], keys[0])
        cutter.cuts = [Cut.AFTER]
        await desk.renew(holder, keys[0], keys[1])
        await desk.renew(holder, keys[1], keys[2])
        token = (await desk.logged_in())["refresh_token"]
        cutter.cuts = [Cut.AFTER]
        for _ in range(2):
            answer = await gate.post("/auth/refresh", {"refresh_token": token})
            assert answer.status == 200, answer.body
            token = answer.json["refresh_token"]
        assert cutter.cuts == []
