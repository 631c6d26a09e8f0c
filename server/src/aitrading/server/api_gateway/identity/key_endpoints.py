"""`/api/v1/auth/factors/keys…` and `…/step-up/key`: a person's own security keys."""

from typing import Final

from aitrading.server.api_gateway.identity.device_endpoints import uuid_of
from aitrading.server.api_gateway.identity.factor_endpoints import (
    BODY_LIMIT_BYTES,
    FACTORS_PATH,
    KEY_BODY_LIMIT_BYTES,
    STEP_UP_PATH,
)
from aitrading.server.api_gateway.identity.factors.errors import (
    FACTOR_MISSING,
    KEY_NOT_ADDED,
    KEYS_FULL,
    KEYS_NOT_HERE,
)
from aitrading.server.api_gateway.identity.factors.key_enrolment import KeyEnrolment
from aitrading.server.api_gateway.identity.factors.key_origins import KeyOrigins
from aitrading.server.api_gateway.identity.factors.key_shapes import (
    AddKey,
    NewKeyOptions,
    SignOptions,
)
from aitrading.server.api_gateway.identity.factors.shapes import RecoveryCodes
from aitrading.server.api_gateway.identity.factors.step_up import StepUp
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import LOGGED_IN, endpoint, proved_recently
from aitrading.server.kit.limit_levels import LimitKind

KEYS_PATH: Final = f"{FACTORS_PATH}/keys"


class KeyEndpoints:
    """Add and remove; what a key is to sign for a fresh proof."""

    def __init__(self, keys: KeyEnrolment, step_up: StepUp, origins: KeyOrigins) -> None:
        self._keys = keys
        self._step_up = step_up
        self._origins = origins

    @endpoint(
        "POST",
        f"{STEP_UP_PATH}/key",
        access=LOGGED_IN,
        limit=LimitKind.IDENTITY,
        answer=SignOptions,
        errors=(KEYS_NOT_HERE,),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def ask_key(self, call: Call) -> SignOptions:
        """What one of your security keys is to sign for a fresh proof; each answer counts once."""
        return await self._step_up.ask_key(call.token, self._origins.of(call))

    @endpoint(
        "POST",
        f"{KEYS_PATH}/options",
        access=proved_recently(LOGGED_IN),
        limit=LimitKind.IDENTITY,
        answer=NewKeyOptions,
        errors=(KEYS_NOT_HERE, KEYS_FULL),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def begin(self, call: Call) -> NewKeyOptions:
        """Begin to add a security key; it counts once it has answered."""
        return await self._keys.begin(call.token, self._origins.of(call))

    @endpoint(
        "POST",
        KEYS_PATH,
        access=proved_recently(LOGGED_IN),
        limit=LimitKind.IDENTITY,
        body=AddKey,
        answer=RecoveryCodes,
        errors=(KEYS_NOT_HERE, KEYS_FULL, KEY_NOT_ADDED),
        body_limit_bytes=KEY_BODY_LIMIT_BYTES,
    )
    async def add(self, call: Call) -> RecoveryCodes:
        """Let a new security key count; tells the first recovery codes once."""
        wanted, origin = await call.json(AddKey), self._origins.of(call)
        return RecoveryCodes(recovery_codes=await self._keys.add(call.token, origin, wanted))

    @endpoint(
        "DELETE",
        f"{KEYS_PATH}/{{key}}",
        access=proved_recently(LOGGED_IN),
        limit=LimitKind.IDENTITY,
        errors=(FACTOR_MISSING,),
    )
    async def remove(self, call: Call) -> None:
        """Remove a security key; with the last factor go the recovery codes."""
        await self._keys.remove(call.token, uuid_of(call.path("key")))
