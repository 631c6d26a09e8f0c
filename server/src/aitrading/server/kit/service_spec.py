"""What makes one service different from the others; the rest is the runner's."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.routing import BaseRoute

from aitrading.core.infrastructure.import_manager import Container, ImportManager
from aitrading.core.infrastructure.service_registry import PublishedRoute
from aitrading.server.kit.endpoints import endpoints_of_class
from aitrading.server.kit.limit_settings import LimitSettings
from aitrading.server.kit.published_routes import published_routes
from aitrading.server.kit.service_settings import ServiceSettings
from aitrading.server.kit.step_up_settings import StepUpSettings
from aitrading.server.kit.store_settings import StoreSettings

COMMON_SECTIONS: Final = (ServiceSettings, LimitSettings, StoreSettings, StepUpSettings)
"""Sections of settings that every service has."""


def no_providers(manager: ImportManager) -> None:
    """For a service that needs nothing but what every service has."""
    del manager


@dataclass(frozen=True, kw_only=True)
class ServiceSpec:
    """One service, declared.

    `depends_on` names engines and services that must work before this one starts; `providers`
    registers what the service is made of. `components` are started in this order, after those
    that every service has, unless their own `depends_on` says otherwise, and stopped in reverse.
    `bus_components` are further ones that live on the bus: provided and started after the others,
    and left out where the bundle names no bus.
    `endpoints` are classes with `@endpoint` methods; `pages` gives further routes.
    `published` says which of the latter, and which streams, are to be reached from outside; for
    endpoints that follows from their declarations.
    `merges_chains` makes this process know the chain measurements of all.

    Every service can ask its container for: `ServiceBundle`, `ConfigManager` and each of its
    `sections`, `Clock`, `IdFactory`, `Randomness`, `Metrics`, `ResilienceRegistry`,
    `ErrorHandler`, `HealthRegistry`, `ChainRegistry`, `CentralHub`, `JwtVerifier`,
    `Authenticator`, `RevokedTokens`, `ServiceTokenSource`, and, when its bundle names NATS, `EventBus`.
    A provider of its own for one of these replaces the runner's.
    """

    name: str
    depends_on: tuple[str, ...] = ()
    sections: tuple[type[Any], ...] = ()
    providers: Callable[[ImportManager], None] = no_providers
    components: tuple[type[Any], ...] = ()
    bus_components: tuple[type[Any], ...] = ()
    endpoints: tuple[type[Any], ...] = ()
    pages: Callable[[Container], Awaitable[Sequence[BaseRoute]]] | None = None
    published: tuple[PublishedRoute, ...] = ()
    merges_chains: bool = False

    def routes(self) -> tuple[PublishedRoute, ...]:
        """Everything that this service asks to be reachable at from outside."""
        declared = (each for owner in self.endpoints for each in endpoints_of_class(owner))
        return published_routes(declared, self.published)
