"""`/internal/v1/admin/…`: only the host's administrator calls these, through `run/admin.sock`."""

from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import datetime_of_ns
from aitrading.server.api_gateway.identity.admin_shapes import (
    Account,
    AccountDevice,
    Credentials,
    NewAccount,
    NewUser,
    Tenant,
    User,
)
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.devices import Devices, DeviceState, Invitation
from aitrading.server.api_gateway.identity.errors import (
    IDENTITY_EXISTS,
    IDENTITY_INVALID,
    IDENTITY_UNKNOWN,
    TENANT_ERASED,
)
from aitrading.server.api_gateway.identity.login import LINK_LIFETIME_S, Login, LoginName
from aitrading.server.api_gateway.identity.made_keys import KeysOfMaker
from aitrading.server.api_gateway.identity.model import Role
from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.authority.passwords import PASSWORD_TOO_WEAK
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, peers

ADMIN_PATH: Final = "/internal/v1/admin"
ADMIN: Final = peers(ADMIN_SERVICE)
REFUSALS: Final = (IDENTITY_EXISTS, IDENTITY_INVALID, IDENTITY_UNKNOWN, TENANT_ERASED)


class NewTenant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation to create; the name is lower-case letters, digits and hyphens."""

    name: str


class UserName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person by organisation and login name."""

    tenant: str
    user: str

    def login_name(self) -> LoginName:
        """As `Login` takes it."""
        return LoginName(tenant=self.tenant, user=self.user)


class PasswordReset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person and, if the administrator chose one, the new password."""

    tenant: str
    user: str
    password: str | None = None


class StateChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person and whether they may log in."""

    tenant: str
    user: str
    state: Literal["active", "suspended"]


class RoleChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person and what they are in the organisation from now on."""

    tenant: str
    user: str
    role: Role


class NewDevice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device to invite."""

    tenant: str
    name: str


class DeviceName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device to revoke, and why."""

    tenant: str
    device: UUID
    reason: str = "revoked by the administrator"


class LoginLink(msgspec.Struct, frozen=True, kw_only=True):
    """The code for `https://HOST/login#link=CODE`; works once."""

    code: str
    lifetime_s: int


class GivenToken(msgspec.Struct, frozen=True, kw_only=True):
    """An access token for a script, and the right to renew it."""

    token: str
    expires_at: datetime
    refresh_token: str


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It happened."""

    done: Literal[True] = True


class AdminEndpoints:
    """Administration from the host."""

    def __init__(self, administration: Administration, login: Login, devices: Devices) -> None:
        self._administration = administration
        self._login = login
        self._devices = devices

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/tenants",
        access=ADMIN,
        body=NewTenant,
        answer=Tenant,
        errors=REFUSALS,
    )
    async def create_tenant(self, call: Call) -> Tenant:
        """Create an organisation."""
        new = await call.json(NewTenant)
        return await self._administration.create_tenant(new.name, actor=HOST_ACTOR)

    @endpoint("GET", f"{ADMIN_PATH}/tenants", access=ADMIN, answer=list[Tenant])
    async def tenants(self, call: Call) -> list[Tenant]:
        """Every organisation."""
        del call
        return await self._administration.tenants()

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/users",
        access=ADMIN,
        body=NewUser,
        answer=Credentials,
        errors=(*REFUSALS, PASSWORD_TOO_WEAK),
    )
    async def create_user(self, call: Call) -> Credentials:
        """Create a person; a generated password is told once."""
        return await self._administration.create_user(await call.json(NewUser), actor=HOST_ACTOR)

    @endpoint("GET", f"{ADMIN_PATH}/users", access=ADMIN, answer=list[User])
    async def users(self, call: Call) -> list[User]:
        """The people of the organisation `tenant`."""
        return await self._administration.users(call.query("tenant"))

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/users/password",
        access=ADMIN,
        body=PasswordReset,
        answer=Credentials,
        errors=(IDENTITY_UNKNOWN, PASSWORD_TOO_WEAK),
    )
    async def reset_password(self, call: Call) -> Credentials:
        """Give a person a new password; ends all their sessions."""
        wanted = await call.json(PasswordReset)
        name = LoginName(tenant=wanted.tenant, user=wanted.user)
        return await self._administration.reset_password(name, wanted.password, actor=HOST_ACTOR)

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/users/state",
        access=ADMIN,
        body=StateChange,
        answer=KeysOfMaker,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def set_user_state(self, call: Call) -> KeysOfMaker:
        """Suspend a person, which ends the keys they made too, or let them in again."""
        wanted = await call.json(StateChange)
        name = LoginName(tenant=wanted.tenant, user=wanted.user)
        return await self._administration.set_user_state(name, wanted.state, actor=HOST_ACTOR)

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/users/role",
        access=ADMIN,
        body=RoleChange,
        answer=KeysOfMaker,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def set_user_role(self, call: Call) -> KeysOfMaker:
        """Give a person another role; ends their sessions, and keys of theirs that allow more."""
        wanted = await call.json(RoleChange)
        name = LoginName(tenant=wanted.tenant, user=wanted.user)
        return await self._administration.set_user_role(name, wanted.role, actor=HOST_ACTOR)

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/devices/invite",
        access=ADMIN,
        body=NewDevice,
        answer=Invitation,
        errors=REFUSALS,
    )
    async def invite_device(self, call: Call) -> Invitation:
        """Create a device and its one-time enrolment code."""
        new = await call.json(NewDevice)
        tenant = await self._administration.living_tenant(new.tenant)
        return await self._devices.invite(tenant, new.name, actor=HOST_ACTOR)

    @endpoint("GET", f"{ADMIN_PATH}/devices", access=ADMIN, answer=list[DeviceState])
    async def devices(self, call: Call) -> list[DeviceState]:
        """The devices of the organisation `tenant`."""
        return await self._devices.list(await self._administration.tenant(call.query("tenant")))

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/devices/revoke",
        access=ADMIN,
        body=DeviceName,
        answer=Done,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def revoke_device(self, call: Call) -> Done:
        """End a device's right to connect."""
        wanted = await call.json(DeviceName)
        tenant = await self._administration.tenant(wanted.tenant)
        await self._devices.revoke(tenant, wanted.device, actor=HOST_ACTOR, reason=wanted.reason)
        return Done()

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/login-link",
        access=ADMIN,
        body=UserName,
        answer=LoginLink,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def login_link(self, call: Call) -> LoginLink:
        """A one-time link that opens the page logged in."""
        wanted = await call.json(UserName)
        code = await self._login.create_link(wanted.login_name(), actor=HOST_ACTOR)
        return LoginLink(code=code.reveal(), lifetime_s=LINK_LIFETIME_S)

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/tokens",
        access=ADMIN,
        body=UserName,
        answer=GivenToken,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def token(self, call: Call) -> GivenToken:
        """An access token of a person, for scripts on the host."""
        wanted = await call.json(UserName)
        tickets = await self._login.by_host(wanted.login_name(), actor=HOST_ACTOR)
        return GivenToken(
            token=tickets.access.token.reveal(),
            expires_at=datetime_of_ns(tickets.access.expires_ns),
            refresh_token=tickets.refresh.reveal(),
        )

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/accounts",
        access=ADMIN,
        body=NewAccount,
        answer=Account,
        errors=REFUSALS,
    )
    async def create_account(self, call: Call) -> Account:
        """Create a broker account."""
        return await self._administration.create_account(
            await call.json(NewAccount), actor=HOST_ACTOR
        )

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/accounts/device",
        access=ADMIN,
        body=AccountDevice,
        answer=Account,
        errors=REFUSALS,
    )
    async def set_account_device(self, call: Call) -> Account:
        """Name the device that may execute a broker account."""
        wanted = await call.json(AccountDevice)
        return await self._administration.set_account_device(wanted, actor=HOST_ACTOR)

    @endpoint("GET", f"{ADMIN_PATH}/accounts", access=ADMIN, answer=list[Account])
    async def accounts(self, call: Call) -> list[Account]:
        """The accounts of the organisation `tenant`."""
        tenant = await self._administration.tenant(call.query("tenant"))
        return await self._administration.accounts(tenant)
