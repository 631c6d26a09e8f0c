"""`/api/v1/auth/key…`: programs exchange their key; administrators and the host manage keys."""

from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import Scope
from aitrading.core.security.errors import SCOPE_MISSING, TOKEN_REFUSED
from aitrading.server.api_gateway.identity.admin_endpoints import ADMIN, ADMIN_PATH, Done
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.api_keys import (
    ApiKey,
    ApiKeys,
    CreatedApiKey,
    KeyToken,
    NewApiKey,
)
from aitrading.server.api_gateway.identity.device_endpoints import uuid_of
from aitrading.server.api_gateway.identity.errors import (
    API_KEY_REFUSED,
    API_KEY_THROTTLED,
    IDENTITY_EXISTS,
    IDENTITY_INVALID,
    IDENTITY_UNKNOWN,
    TENANT_ERASED,
)
from aitrading.server.api_gateway.identity.login_endpoints import AUTH_PATH, BODY_LIMIT_BYTES
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.authentication import Authenticator
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import (
    PUBLIC,
    QueryField,
    endpoint,
    proved_recently,
    scope,
)
from aitrading.server.kit.limit_levels import LimitKind

KEYS_PATH: Final = f"{AUTH_PATH}/keys"


class KeyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program's key."""

    key: str


class NewKeyOf(NewApiKey, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key for a program of an organisation."""

    tenant: str


class KeyOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key of an organisation."""

    tenant: str
    key: UUID


class ApiKeyList(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of your organisation's programs."""

    keys: list[ApiKey]


class ApiKeyEndpoints:
    """Keys of programs."""

    def __init__(
        self, keys: ApiKeys, administration: Administration, authenticator: Authenticator
    ) -> None:
        self._keys = keys
        self._administration = administration
        self._authenticator = authenticator

    @endpoint(
        "POST",
        f"{AUTH_PATH}/key",
        access=PUBLIC,
        body=KeyRequest,
        answer=KeyToken,
        errors=(API_KEY_REFUSED, API_KEY_THROTTLED, TOKEN_REFUSED),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def exchange(self, call: Call) -> KeyToken:
        """Exchange a program's key for a token of 15 minutes; a proof that comes along binds it."""
        request = await call.json(KeyRequest)
        thumbprint = await self._authenticator.key_of(call.head)
        return await self._keys.exchange(
            Secret(request.key), thumbprint=thumbprint, network=call.network
        )

    @endpoint(
        "GET",
        KEYS_PATH,
        access=scope(Scope.ADMIN),
        answer=ApiKeyList,
        limit=LimitKind.IDENTITY,
    )
    async def keys(self, call: Call) -> ApiKeyList:
        """The keys of your organisation's programs, ended ones too."""
        return ApiKeyList(keys=await self._keys.keys_of(call.token.tenant))

    @endpoint(
        "POST",
        KEYS_PATH,
        access=proved_recently(scope(Scope.ADMIN)),
        body=NewApiKey,
        answer=CreatedApiKey,
        errors=(IDENTITY_EXISTS, IDENTITY_INVALID, SCOPE_MISSING),
        limit=LimitKind.IDENTITY,
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def create(self, call: Call) -> CreatedApiKey:
        """Make a key for a program; nobody gives it more than they have."""
        wanted, token = await call.json(NewApiKey), call.token
        for each in wanted.scopes:
            token.require(each)
        return await self._keys.create(token.tenant, wanted, actor=f"user:{token.user}")

    @endpoint(
        "DELETE",
        f"{KEYS_PATH}/{{key}}",
        access=proved_recently(scope(Scope.ADMIN)),
        errors=(IDENTITY_UNKNOWN,),
        limit=LimitKind.IDENTITY,
    )
    async def revoke(self, call: Call) -> None:
        """End a key; its tokens are refused from now on."""
        token = call.token
        key = uuid_of(call.path("key"))
        await self._keys.revoke(token.tenant, key, actor=f"user:{token.user}")

    @endpoint(
        "GET",
        f"{ADMIN_PATH}/api-keys",
        access=ADMIN,
        answer=list[ApiKey],
        query=(QueryField(name="tenant", doc="The organisation, by name or id.", required=True),),
        errors=(IDENTITY_UNKNOWN,),
    )
    async def keys_of(self, call: Call) -> list[ApiKey]:
        """The keys of an organisation's programs."""
        return await self._keys.keys_of(await self._administration.tenant(call.query("tenant")))

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/api-keys",
        access=ADMIN,
        body=NewKeyOf,
        answer=CreatedApiKey,
        errors=(IDENTITY_EXISTS, IDENTITY_INVALID, IDENTITY_UNKNOWN, TENANT_ERASED),
    )
    async def create_of(self, call: Call) -> CreatedApiKey:
        """Make a key for a program of an organisation."""
        wanted = await call.json(NewKeyOf)
        tenant = await self._administration.living_tenant(wanted.tenant)
        return await self._keys.create(tenant, wanted, actor=HOST_ACTOR)

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/api-keys/revoke",
        access=ADMIN,
        body=KeyOf,
        answer=Done,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def revoke_of(self, call: Call) -> Done:
        """End a key of an organisation; its tokens are refused from now on."""
        wanted = await call.json(KeyOf)
        tenant = await self._administration.tenant(wanted.tenant)
        await self._keys.revoke(tenant, wanted.key, actor=HOST_ACTOR)
        return Done()
