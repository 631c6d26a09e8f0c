"""`/api/v1/auth/factors…` and `…/step-up`: a person's own second factors."""

from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.resilience.errors import BULKHEAD_FULL
from aitrading.core.kit.secret import Secret
from aitrading.server.api_gateway.identity.admin_endpoints import ADMIN, ADMIN_PATH, UserName
from aitrading.server.api_gateway.identity.errors import IDENTITY_UNKNOWN, LOGIN_THROTTLED
from aitrading.server.api_gateway.identity.factors.enrolment import Enrolment
from aitrading.server.api_gateway.identity.factors.errors import (
    FACTOR_EXISTS,
    FACTOR_MISSING,
    FACTOR_NOT_CONFIRMED,
    KEYS_NOT_HERE,
    PROOF_REFUSED,
    SECOND_FACTOR_THROTTLED,
)
from aitrading.server.api_gateway.identity.factors.key_origins import KeyOrigins
from aitrading.server.api_gateway.identity.factors.qr import qr_of
from aitrading.server.api_gateway.identity.factors.shapes import (
    Code,
    Factors,
    Proof,
    RecoveryCodes,
    TotpSetUp,
)
from aitrading.server.api_gateway.identity.factors.step_up import CODE, PASSWORD, StepUp
from aitrading.server.api_gateway.identity.login import Login
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import LOGGED_IN, endpoint, proved_recently
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.limit_levels import LimitKind

FACTORS_PATH: Final = "/api/v1/auth/factors"
STEP_UP_PATH: Final = "/api/v1/auth/step-up"
BODY_LIMIT_BYTES: Final = 4096
KEY_BODY_LIMIT_BYTES: Final = 16_384
"""Of what carries a security key's answer: browsers tell some parts of it twice."""


class FactorsReset(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken away ended so many sessions."""

    sessions_ended: int


class FactorEndpoints:
    """Set up, look at, remove; prove anew."""

    def __init__(
        self, enrolment: Enrolment, step_up: StepUp, login: Login, origins: KeyOrigins
    ) -> None:
        self._origins = origins
        self._enrolment = enrolment
        self._step_up = step_up
        self._login = login

    @endpoint(
        "POST",
        STEP_UP_PATH,
        access=LOGGED_IN,
        limit=LimitKind.IDENTITY,
        body=Proof,
        errors=(
            PROOF_REFUSED,
            SECOND_FACTOR_THROTTLED,
            LOGIN_THROTTLED,
            BULKHEAD_FULL,
            KEYS_NOT_HERE,
        ),
        body_limit_bytes=KEY_BODY_LIMIT_BYTES,
    )
    async def step_up(self, call: Call) -> None:
        """Prove anew who you are; the session's next token tells so: renew it then."""
        proof, network = await call.json(Proof), call.network
        if [proof.code, proof.key, proof.password].count(None) != 2:  # noqa: PLR2004 - one is given
            raise REQUEST_INVALID.error(reason="give one of `code`, `key` and `password`")
        if proof.code is not None:
            await self._step_up.by_code(call.token, Secret(proof.code), network=network)
        if proof.key is not None:
            origin = self._origins.of(call)
            await self._step_up.by_key(call.token, proof.key, origin, network=network)
        if proof.password is not None:
            await self._step_up.by_password(call.token, Secret(proof.password), network=network)

    @endpoint("GET", FACTORS_PATH, access=LOGGED_IN, limit=LimitKind.IDENTITY, answer=Factors)
    async def factors(self, call: Call) -> Factors:
        """What you have besides the password, and how many recovery codes are left."""
        state = await self._enrolment.state(call.token.tenant, call.token.user)
        return Factors(
            totp_since=state.totp_since,
            recovery_codes_left=state.recovery_codes_left,
            step_up_with=CODE if state.totp_since or state.security_keys else PASSWORD,
            security_keys=state.security_keys,
            keys_for=self._origins.name_of(call),
        )

    @endpoint(
        "POST",
        f"{FACTORS_PATH}/totp",
        access=proved_recently(LOGGED_IN),
        limit=LimitKind.IDENTITY,
        answer=TotpSetUp,
        errors=(FACTOR_EXISTS,),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def begin_totp(self, call: Call) -> TotpSetUp:
        """Begin to set up an authenticator app; it counts once a code of it was shown."""
        begun = await self._enrolment.begin_totp(call.token.tenant, call.token.user)
        uri = begun.uri.reveal()
        return TotpSetUp(secret=begun.secret.reveal(), uri=uri, qr=qr_of(uri))

    @endpoint(
        "POST",
        f"{FACTORS_PATH}/totp/confirm",
        access=proved_recently(LOGGED_IN),
        limit=LimitKind.IDENTITY,
        body=Code,
        answer=RecoveryCodes,
        errors=(FACTOR_NOT_CONFIRMED,),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def confirm_totp(self, call: Call) -> RecoveryCodes:
        """Let the app that was begun count; tells the first recovery codes once."""
        code = (await call.json(Code)).code
        codes = await self._enrolment.confirm_totp(call.token.tenant, call.token.user, code)
        return RecoveryCodes(recovery_codes=codes)

    @endpoint(
        "DELETE",
        f"{FACTORS_PATH}/totp",
        access=proved_recently(LOGGED_IN),
        limit=LimitKind.IDENTITY,
        errors=(FACTOR_MISSING,),
    )
    async def remove_totp(self, call: Call) -> None:
        """Remove the authenticator app; with the last factor go the recovery codes."""
        await self._enrolment.remove_totp(call.token.tenant, call.token.user)

    @endpoint(
        "POST",
        f"{FACTORS_PATH}/recovery-codes",
        access=proved_recently(LOGGED_IN),
        limit=LimitKind.IDENTITY,
        answer=RecoveryCodes,
        errors=(FACTOR_MISSING,),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def recovery_codes(self, call: Call) -> RecoveryCodes:
        """Ten new recovery codes, told once; the old ones are worthless from now on."""
        codes = await self._enrolment.renew_recovery_codes(call.token.tenant, call.token.user)
        return RecoveryCodes(recovery_codes=codes)

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/users/reset-factors",
        access=ADMIN,
        body=UserName,
        answer=FactorsReset,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def reset(self, call: Call) -> FactorsReset:
        """Take away every second factor of a person; ends all their sessions."""
        account = await self._login.find((await call.json(UserName)).login_name())
        user = UUID(str(account.user))
        ended = await self._enrolment.reset(account.tenant, user, actor=HOST_ACTOR)
        return FactorsReset(sessions_ended=ended)
