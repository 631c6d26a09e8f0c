"""Identity put together, for the composition root of the api-gateway."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aitrading.core.infrastructure.events import DeviceRevoked
from aitrading.core.infrastructure.resilience.bulkhead import Bulkhead
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.kit.randomness import Randomness
from aitrading.server.api_gateway.identity.admin_endpoints import AdminEndpoints
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.audit import AuditTrail
from aitrading.server.api_gateway.identity.device_endpoints import DeviceEndpoints
from aitrading.server.api_gateway.identity.devices import Devices
from aitrading.server.api_gateway.identity.ended_sessions import EndedSessions
from aitrading.server.api_gateway.identity.login import Login
from aitrading.server.api_gateway.identity.login_endpoints import LoginEndpoints
from aitrading.server.api_gateway.identity.sessions import Sessions
from aitrading.server.api_gateway.identity.throttle import LoginThrottle
from aitrading.server.authority.installation import Authority
from aitrading.server.authority.passwords import Argon2Cost, PasswordHasher
from aitrading.server.kit.endpoints import Endpoint, endpoints_of
from aitrading.server.kit.postgres import PostgresPool


@dataclass(frozen=True, kw_only=True)
class IdentityParts:
    """What identity needs from its process."""

    pool: PostgresPool
    authority: Authority
    hashing: Bulkhead
    """From `passwords.hashing_bulkhead()`; the root registers it for health."""
    publish: Callable[[DeviceRevoked, TenantId], Awaitable[object]]
    """Tells the platform that a device was revoked; the bus in the running platform."""
    clock: Clock
    ids: IdFactory
    randomness: Randomness
    hashing_cost: Argon2Cost | None = None


class Identity:
    """The whole of identity; `ended` belongs into the service's `Authenticator`."""

    def __init__(self, parts: IdentityParts) -> None:
        clock, ids, randomness = parts.clock, parts.ids, parts.randomness
        audit = AuditTrail(clock=clock, ids=ids)
        hasher = PasswordHasher(parts.hashing, parts.hashing_cost)
        self.ended = EndedSessions(clock)
        self.sessions = Sessions(
            parts.pool,
            issuer=parts.authority.user_token_issuer(),
            audit=audit,
            ended=self.ended,
            clock=clock,
            ids=ids,
            randomness=randomness,
        )
        self.login = Login(
            parts.pool,
            sessions=self.sessions,
            hasher=hasher,
            throttle=LoginThrottle(clock),
            audit=audit,
            clock=clock,
            randomness=randomness,
        )
        self.devices = Devices(
            parts.pool,
            authority=parts.authority,
            audit=audit,
            publish=parts.publish,
            clock=clock,
            ids=ids,
            randomness=randomness,
        )
        self.administration = Administration(
            parts.pool,
            login=self.login,
            sessions=self.sessions,
            hasher=hasher,
            audit=audit,
            clock=clock,
            ids=ids,
            randomness=randomness,
        )
        self._pool = parts.pool

    def owners(self) -> tuple[object, ...]:
        """The objects whose methods are endpoints."""
        return (
            LoginEndpoints(self._pool, self.login, self.sessions),
            DeviceEndpoints(self.devices),
            AdminEndpoints(self.administration, self.login, self.devices),
        )

    def endpoints(self) -> list[Endpoint]:
        """Everything identity answers."""
        return endpoints_of(*self.owners())
