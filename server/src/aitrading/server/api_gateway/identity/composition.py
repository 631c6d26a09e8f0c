"""Identity put together, for the composition root of the api-gateway."""

from collections.abc import Callable
from dataclasses import dataclass

from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.resilience.bulkhead import Bulkhead
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.kit.randomness import Randomness
from aitrading.server.api_gateway.identity.admin_endpoints import AdminEndpoints
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.api_key_endpoints import ApiKeyEndpoints
from aitrading.server.api_gateway.identity.api_keys import ApiKeys
from aitrading.server.api_gateway.identity.device_endpoints import DeviceEndpoints
from aitrading.server.api_gateway.identity.device_report_endpoints import DeviceReportEndpoints
from aitrading.server.api_gateway.identity.device_settings import DeviceSettings
from aitrading.server.api_gateway.identity.device_settings_endpoints import (
    DeviceSettingsEndpoints,
)
from aitrading.server.api_gateway.identity.device_tokens import DeviceTokens
from aitrading.server.api_gateway.identity.devices import Devices
from aitrading.server.api_gateway.identity.factor_endpoints import FactorEndpoints
from aitrading.server.api_gateway.identity.factors.codes import Codes
from aitrading.server.api_gateway.identity.factors.enrolment import Enrolment
from aitrading.server.api_gateway.identity.factors.key_enrolment import KeyEnrolment
from aitrading.server.api_gateway.identity.factors.key_origins import KeyOrigins
from aitrading.server.api_gateway.identity.factors.keys import SecurityKeys
from aitrading.server.api_gateway.identity.factors.second_step import SecondStep
from aitrading.server.api_gateway.identity.factors.step_up import Proofs, StepUp
from aitrading.server.api_gateway.identity.housekeeping import Housekeeping
from aitrading.server.api_gateway.identity.key_endpoints import KeyEndpoints
from aitrading.server.api_gateway.identity.login import Login
from aitrading.server.api_gateway.identity.login_endpoints import LoginEndpoints
from aitrading.server.api_gateway.identity.login_rules import LoginRules
from aitrading.server.api_gateway.identity.made_keys import MadeKeys
from aitrading.server.api_gateway.identity.own_endpoints import OwnEndpoints
from aitrading.server.api_gateway.identity.own_password import OwnPassword
from aitrading.server.api_gateway.identity.own_sessions import OwnSessions
from aitrading.server.api_gateway.identity.refusals import Refusals
from aitrading.server.api_gateway.identity.revocations import Revocations
from aitrading.server.api_gateway.identity.rules_book import RulesBook
from aitrading.server.api_gateway.identity.rules_endpoints import RulesEndpoints
from aitrading.server.api_gateway.identity.sessions import Sessions
from aitrading.server.api_gateway.identity.signed_requests import SignedRequests
from aitrading.server.api_gateway.identity.subscription_endpoints import (
    SubscriptionAdminEndpoints,
)
from aitrading.server.api_gateway.identity.subscriptions import Subscriptions
from aitrading.server.api_gateway.identity.tenant_endpoints import TenantEndpoints
from aitrading.server.api_gateway.identity.tenant_life import TenantLife
from aitrading.server.api_gateway.identity.throttle import LoginThrottle
from aitrading.server.api_gateway.identity.vault_admin_endpoints import VaultAdminEndpoints
from aitrading.server.api_gateway.identity.vault_composition import vault_endpoints
from aitrading.server.api_gateway.identity.vault_endpoints import VaultEndpoints
from aitrading.server.authority.installation import Authority
from aitrading.server.authority.passwords import Argon2Cost, PasswordHasher
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.authentication import Authenticator
from aitrading.server.kit.login_settings import LoginSettings
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import RevokedTokens
from aitrading.server.personal_data.keys import FieldKeys


@dataclass(frozen=True, kw_only=True)
class IdentityParts:
    """What identity needs from its process."""

    replay: Replay
    """Makes changes exactly once; what only reads asks its pool."""
    authority: Authority
    hashing: Bulkhead
    """From `passwords.hashing_bulkhead()`; the root registers it for health."""
    bus: EventBus
    ended: RevokedTokens
    """The same that the service's `Authenticator` looks at."""
    authenticator: Authenticator
    on_error: Callable[[Exception], object]
    """Told of what went wrong in the background; the service's `ErrorHandler.classify`."""
    clock: Clock
    ids: IdFactory
    randomness: Randomness
    field_keys: FieldKeys
    hosts: tuple[str, ...]
    """The installation's names (`gateway.hosts`); security keys are for one of them."""
    login_settings: Callable[[TenantId], LoginSettings]
    """What the file of settings says of an organisation's logins."""
    hashing_cost: Argon2Cost | None = None


class Identity:
    """The whole of identity; `revocations` and `housekeeping` are components to start."""

    def __init__(self, parts: IdentityParts) -> None:
        shared = _shared(parts)
        pool = parts.replay.pool
        self.issuer = parts.authority.user_token_issuer()
        self.revocations = Revocations(
            pool,
            parts.bus,
            parts.ended,
            clock=parts.clock,
            ids=parts.ids,
            on_error=parts.on_error,
        )
        self.housekeeping = Housekeeping(pool, clock=parts.clock, on_error=parts.on_error)
        self._origins = KeyOrigins(parts.hosts)
        self._rules = LoginRules(parts.login_settings)
        self.sessions = self._sessions(parts, shared)
        self.second_step, self._step_up, self._enrolment = self._factors(parts, shared)
        self.login = self._login(parts, shared)
        self.devices = self._devices(parts, shared)
        tokens = DeviceTokens(
            parts.replay,
            issuer=self.issuer,
            audit=shared.audit,
            refusals=shared.refusals,
            clock=parts.clock,
        )
        self.device_endpoints = DeviceEndpoints(self.devices, tokens)
        self.administration = self._administration(parts, shared)
        self.subscriptions = self._subscriptions(parts, shared)
        self.tenant_life = self._life(parts, shared)
        self.login_endpoints = self._login_endpoints(parts)
        self.factor_endpoints = FactorEndpoints(
            self._enrolment, self._step_up, self.login, self._origins
        )
        self.key_endpoints = KeyEndpoints(
            self._key_enrolment(parts, shared), self._step_up, self._origins
        )
        self.own_endpoints = self._own(parts, shared)
        self.rules_endpoints = self._rules_endpoints(parts, shared)
        self.api_key_endpoints = ApiKeyEndpoints(
            self._api_keys(parts, shared), self.administration, parts.authenticator
        )
        vault = self._vault(parts, shared)
        self.vault_endpoints, self.vault_admin_endpoints, self.report_endpoints = vault
        self.signed_requests = SignedRequests(
            parts.replay, audit=shared.audit, refusals=shared.refusals, clock=parts.clock
        )
        self.device_settings_endpoints = self._device_settings(parts, shared)

    def owners(self) -> tuple[object, ...]:
        """The objects whose methods are endpoints."""
        return (
            self.login_endpoints,
            self.factor_endpoints,
            self.key_endpoints,
            self.own_endpoints,
            self.rules_endpoints,
            self.revocations,
            self.device_endpoints,
            self.vault_endpoints,
            self.vault_admin_endpoints,
            self.report_endpoints,
            self.device_settings_endpoints,
            AdminEndpoints(self.administration, self.login, self.devices),
            SubscriptionAdminEndpoints(self.subscriptions, self.administration),
            TenantEndpoints(self.tenant_life),
            self.api_key_endpoints,
        )

    def _vault(
        self, parts: IdentityParts, shared: "_Shared"
    ) -> tuple[VaultEndpoints, VaultAdminEndpoints, DeviceReportEndpoints]:
        return vault_endpoints(
            parts.replay,
            self.administration,
            shared.audit,
            shared.refusals,
            keys=parts.field_keys,
            clock=parts.clock,
            ids=parts.ids,
        )

    def _device_settings(self, parts: IdentityParts, shared: "_Shared") -> DeviceSettingsEndpoints:
        settings = DeviceSettings(
            self.signed_requests,
            parts.replay,
            signer=parts.authority.configuration_signer(),
            pins=parts.authority.edge_keys.signed_pins,
            audit=shared.audit,
            bus=parts.bus,
            clock=parts.clock,
            ids=parts.ids,
            on_error=parts.on_error,
        )
        return DeviceSettingsEndpoints(settings, self.administration)

    def _sessions(self, parts: IdentityParts, shared: "_Shared") -> Sessions:
        return Sessions(
            parts.replay,
            issuer=self.issuer,
            audit=shared.audit,
            announce=self.revocations.announce,
            keys=parts.field_keys,
            refusals=shared.refusals,
            rules=self._rules,
            clock=parts.clock,
            ids=parts.ids,
            randomness=parts.randomness,
        )

    def _login(self, parts: IdentityParts, shared: "_Shared") -> Login:
        return Login(
            parts.replay,
            sessions=self.sessions,
            second=self.second_step,
            hasher=shared.hasher,
            keys=parts.field_keys,
            throttle=LoginThrottle(parts.clock),
            refusals=shared.refusals,
            rules=self._rules,
            audit=shared.audit,
            clock=parts.clock,
            randomness=parts.randomness,
        )

    def _administration(self, parts: IdentityParts, shared: "_Shared") -> Administration:
        return Administration(
            parts.replay,
            login=self.login,
            sessions=self.sessions,
            hasher=shared.hasher,
            keys=parts.field_keys,
            audit=shared.audit,
            made_keys=MadeKeys(self.sessions, keys=parts.field_keys, audit=shared.audit),
            rules=self._rules,
            clock=parts.clock,
            ids=parts.ids,
            randomness=parts.randomness,
        )

    def _subscriptions(self, parts: IdentityParts, shared: "_Shared") -> Subscriptions:
        return Subscriptions(
            parts.replay,
            administration=self.administration,
            login=self.login,
            keys=parts.field_keys,
            audit=shared.audit,
            bus=parts.bus,
            clock=parts.clock,
            on_error=parts.on_error,
        )

    def _key_enrolment(self, parts: IdentityParts, shared: "_Shared") -> KeyEnrolment:
        return KeyEnrolment(
            parts.replay,
            enrolment=self._enrolment,
            security_keys=shared.security_keys,
            sessions=self.sessions,
            keys=parts.field_keys,
            clock=parts.clock,
            ids=parts.ids,
        )

    def _api_keys(self, parts: IdentityParts, shared: "_Shared") -> ApiKeys:
        return ApiKeys(
            parts.replay,
            sessions=self.sessions,
            issuer=self.issuer,
            hasher=shared.hasher,
            keys=parts.field_keys,
            refusals=shared.refusals,
            rules=self._rules,
            audit=shared.audit,
            clock=parts.clock,
            ids=parts.ids,
            randomness=parts.randomness,
        )

    def _rules_endpoints(self, parts: IdentityParts, shared: "_Shared") -> RulesEndpoints:
        book = RulesBook(
            parts.replay,
            sessions=self.sessions,
            rules=self._rules,
            audit=shared.audit,
            clock=parts.clock,
        )
        return RulesEndpoints(book, self.administration)

    def _own(self, parts: IdentityParts, shared: "_Shared") -> OwnEndpoints:
        password = OwnPassword(
            parts.replay,
            sessions=self.sessions,
            hasher=shared.hasher,
            throttle=shared.proofs,
            keys=parts.field_keys,
            refusals=shared.refusals,
            audit=shared.audit,
            clock=parts.clock,
        )
        sessions = OwnSessions(
            parts.replay, sessions=self.sessions, audit=shared.audit, clock=parts.clock
        )
        return OwnEndpoints(password, sessions)

    def _devices(self, parts: IdentityParts, shared: "_Shared") -> Devices:
        return Devices(
            parts.replay,
            authority=parts.authority,
            keys=parts.field_keys,
            audit=shared.audit,
            refusals=shared.refusals,
            bus=parts.bus,
            announce=self.revocations.announce,
            clock=parts.clock,
            ids=parts.ids,
            randomness=parts.randomness,
        )

    def _factors(
        self, parts: IdentityParts, shared: "_Shared"
    ) -> tuple[SecondStep, StepUp, Enrolment]:
        codes = Codes(keys=parts.field_keys, audit=shared.audit, clock=parts.clock)
        second = SecondStep(
            parts.replay,
            sessions=self.sessions,
            codes=codes,
            security_keys=shared.security_keys,
            refusals=shared.refusals,
            rules=self._rules,
            clock=parts.clock,
            randomness=parts.randomness,
        )
        step_up = StepUp(
            parts.replay,
            proofs=Proofs(
                codes=codes,
                security_keys=shared.security_keys,
                hasher=shared.hasher,
                throttle=shared.proofs,
            ),
            sessions=self.sessions,
            refusals=shared.refusals,
            audit=shared.audit,
            clock=parts.clock,
        )
        enrolment = Enrolment(
            parts.replay,
            sessions=self.sessions,
            security_keys=shared.security_keys,
            keys=parts.field_keys,
            audit=shared.audit,
            clock=parts.clock,
            ids=parts.ids,
            randomness=parts.randomness,
        )
        return second, step_up, enrolment

    def _login_endpoints(self, parts: IdentityParts) -> LoginEndpoints:
        return LoginEndpoints(
            parts.replay.pool,
            self.login,
            self.second_step,
            self.sessions,
            authenticator=parts.authenticator,
            origins=self._origins,
            clock=parts.clock,
            randomness=parts.randomness,
        )

    def _life(self, parts: IdentityParts, shared: "_Shared") -> TenantLife:
        return TenantLife(
            parts.replay,
            administration=self.administration,
            sessions=self.sessions,
            keys=parts.field_keys,
            audit=shared.audit,
            bus=parts.bus,
            clock=parts.clock,
            on_error=parts.on_error,
        )


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """What several parts of identity use together."""

    audit: AuditTrail
    refusals: Refusals
    hasher: PasswordHasher
    proofs: LoginThrottle
    """Slows down whoever proves a password inside a session, apart from logins."""
    security_keys: SecurityKeys


def _shared(parts: IdentityParts) -> _Shared:
    clock, randomness = parts.clock, parts.randomness
    audit = AuditTrail(clock=clock, ids=parts.ids)
    return _Shared(
        audit=audit,
        refusals=Refusals(parts.replay.pool, audit=audit, clock=clock, randomness=randomness),
        hasher=PasswordHasher(parts.hashing, parts.hashing_cost),
        proofs=LoginThrottle(clock),
        security_keys=SecurityKeys(
            keys=parts.field_keys, audit=audit, clock=clock, randomness=randomness
        ),
    )
