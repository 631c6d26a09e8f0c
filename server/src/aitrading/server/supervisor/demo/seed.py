"""Makes what the demo needs, through the api-gateway: `python -m ...demo.seed HOME ENROL`.

A process of its own, because it loads cryptography that the supervisor does not need. It prints a
`DemoReport`, or the reason as JSON with exit code 1. Repeating it makes only what is missing.
"""

import asyncio
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.kit.bundle import load_bundle
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.supervisor.admin_client import failure_of
from aitrading.server.supervisor.bundles import ADMIN
from aitrading.server.supervisor.demo.report import DemoLogin, DemoReport
from aitrading.server.supervisor.errors import DEMO_ERASED, DEMO_REFUSED
from aitrading.server.supervisor.home import Home

T = TypeVar("T")
ADMIN_PATH: Final = "/internal/v1/admin"
DEMO: Final = "demo"
OTHER: Final = "other"
OWNER: Final = "owner"
DEVICE: Final = "demo-terminal"
PEOPLE: Final = {DEMO: ("owner", "trader", "viewer", "auditor"), OTHER: ("owner",)}
PLATFORM: Final = "platform"
PLAN: Final = "demo"
FEATURES: Final = ("ticks", "quotes")
ERASED: Final = "erased"
EXISTS: Final = "IDENTITY_EXISTS"
CALL_TIMEOUT_S: Final = 15.0


class _Named(msgspec.Struct):
    name: str


class _Tenant(msgspec.Struct):
    name: str
    state: str


class _Device(msgspec.Struct):
    device: UUID
    name: str
    state: str


class _Credentials(msgspec.Struct):
    name: str
    password: str | None
    password_ends_at: datetime


class _Invitation(msgspec.Struct):
    device: UUID
    code: str


class _Link(msgspec.Struct):
    code: str
    lifetime_s: int


class Seeding:
    """The calls, in the order in which each finds what it needs."""

    def __init__(self, client: InternalClient) -> None:
        self._client = client

    async def run(self, *, enrol: bool) -> DemoReport:
        """Make what is missing; raises DEMO_REFUSED or DEMO_ERASED for a home not its own."""
        present = {each.name: each.state for each in await self._get("tenants", list[_Tenant])}
        if strangers := present.keys() - {DEMO, OTHER, PLATFORM}:
            raise DEMO_REFUSED.error(tenants=", ".join(sorted(strangers)))
        if present.get(DEMO) == ERASED:
            raise DEMO_ERASED.error()
        wanted = [tenant for tenant in PEOPLE if present.get(tenant) != ERASED]
        logins = [login for tenant in wanted for login in await self._organisation(tenant)]
        invitation = await self._invite() if enrol else None
        if invitation is not None:
            await self._account(invitation.device)
        link = await self._post("login-link", {"tenant": DEMO, "user": OWNER}, _Link)
        return DemoReport(
            logins=tuple(logins),
            link_code=link.code,
            link_lifetime_s=link.lifetime_s,
            enrolment_code=invitation.code if invitation else None,
        )

    async def _organisation(self, tenant: str) -> list[DemoLogin]:
        await self._make("tenants", {"name": tenant}, _Named)
        query = {"tenant": tenant}
        if not await self._get("subscriptions", list[msgspec.Raw], query):
            plan = {"tenant": tenant, "plan": PLAN, "features": FEATURES}
            await self._post("subscriptions", plan, msgspec.Raw)
        present = {person.name for person in await self._get("users", list[_Named], query)}
        return [await self._person(tenant, name) for name in PEOPLE[tenant] if name not in present]

    async def _person(self, tenant: str, name: str) -> DemoLogin:
        wanted = {
            "tenant": tenant,
            "user": name,
            "display_name": f"{name.capitalize()} of {tenant}",
            "role": name,
        }
        made = await self._post("users", wanted, _Credentials)
        return DemoLogin(
            tenant=tenant,
            user=name,
            password=made.password,
            password_ends_at=made.password_ends_at,
        )

    async def _invite(self) -> _Invitation:
        """A code for the demo's device; an enrolled one whose keys are lost here is replaced."""
        for device in await self._get("devices", list[_Device], {"tenant": DEMO}):
            if device.name == DEVICE and device.state == "active":
                lost = {
                    "tenant": DEMO,
                    "device": str(device.device),
                    "reason": "its keys are lost",
                }
                await self._post("devices/revoke", lost, msgspec.Raw)
        wanted = {"tenant": DEMO, "name": DEVICE}
        return await self._post("devices/invite", wanted, _Invitation)

    async def _account(self, device: UUID) -> None:
        wanted = {
            "tenant": DEMO,
            "name": "demo-hedging",
            "broker_server": "Simulated-Demo",
            "login": "1000001",
            "currency": "USD",
            "margin_mode": "hedging",
            "simulated": True,
            "device": str(device),
        }
        await self._make("accounts", wanted, msgspec.Raw)

    async def _make(self, path: str, body: Mapping[str, object], answer: type[T]) -> None:
        """Create what may be there already."""
        try:
            await self._post(path, body, answer)
        except AitradingError as exc:
            if exc.code != EXISTS:
                raise

    async def _get(self, path: str, answer: type[T], query: dict[str, str] | None = None) -> T:
        return await self._client.get(
            f"{ADMIN_PATH}/{path}", answer=answer, query=query, timeout_s=CALL_TIMEOUT_S
        )

    async def _post(self, path: str, body: Mapping[str, object], answer: type[T]) -> T:
        return await self._client.post(
            f"{ADMIN_PATH}/{path}",
            body=msgspec.json.encode(body),
            headers={"content-type": "application/json"},
            answer=answer,
            timeout_s=CALL_TIMEOUT_S,
        )


async def _seed(home: Home, *, enrol: bool) -> DemoReport:
    clock = SystemClock()
    bundle = load_bundle(home.bundles / f"{ADMIN}.json")
    ids = SystemIdFactory(clock, SystemRandomness())
    client = InternalClient.of(bundle, "api-gateway", clock, ids)
    try:
        return await Seeding(client).run(enrol=enrol)
    finally:
        await client.close()


def main(home: str, enrol: str) -> int:
    """Print the report, or the refusal."""
    try:
        report = asyncio.run(_seed(Home(Path(home)), enrol=enrol == "enrol"))
    except AitradingError as exc:
        sys.stdout.write(msgspec.json.encode(failure_of(exc)).decode())
        return 1
    sys.stdout.write(msgspec.json.encode(report).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
