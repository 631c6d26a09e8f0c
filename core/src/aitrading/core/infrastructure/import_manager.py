"""Dependency injection: providers by type, made when needed, cleaned up in reverse.

A thin layer over dishka that adds what it lacks: our errors with the whole path that leads to a
missing or circular dependency, duplicates refused, overrides for tests, and lazy import of heavy
providers. Only a composition root uses it; everything else gets its dependencies by constructor::

    manager = ImportManager()
    manager.value(Clock, SystemClock())
    manager.provide(open_pool)                       # async generator: create, yield, clean up
    manager.provide(lazy("chdb.session:Session"), provides=Session)
    async with manager.build() as container:
        service = await container.get(QueryService)

A class is made from the annotations of its constructor, all of which must be provided; a class
with optional parameters is provided by a function that says what to pass.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from dishka import AsyncContainer, BaseScope, Provider, make_async_container, new_scope
from dishka.exception_base import DishkaError
from dishka.exceptions import CycleDependenciesError, NoContextValueError, NoFactoryError

from aitrading.core.infrastructure.error_codes import (
    IMPORT_DEPENDENCY_CYCLE,
    IMPORT_DEPENDENCY_MISSING,
    IMPORT_GRAPH_INVALID,
    IMPORT_NOTHING_TO_OVERRIDE,
    IMPORT_PROVIDER_DUPLICATE,
)
from aitrading.core.infrastructure.lazy_import import LazyImport, lazy
from aitrading.core.infrastructure.lifecycle import path_to
from aitrading.core.kit.ids import TenantId

__all__ = ["Container", "ImportManager", "Scope", "lazy"]

T = TypeVar("T")
Source = Callable[..., Any] | LazyImport


class Scope(BaseScope):
    """How long a provided object lives: the process, one tenant's work, or one request."""

    APP = new_scope("APP")
    TENANT = new_scope("TENANT")
    REQUEST = new_scope("REQUEST")


@dataclass(frozen=True)
class _Registration:
    provides: Any
    source: Source
    scope: Scope


class ImportManager:
    """Collects providers and builds a validated container; may build several."""

    def __init__(self) -> None:
        self._registrations: dict[Any, _Registration] = {}

    def provide(self, source: Source, *, provides: Any = None, scope: Scope = Scope.APP) -> None:
        """Register a class, a (possibly async) function or generator, or a `lazy` import.

        `provides` is needed when the annotation of the result is not the type asked for. Raises
        `IMPORT_PROVIDER_DUPLICATE` or `IMPORT_GRAPH_INVALID`.
        """
        registration = _Registration(_provided_type(source, provides), source, scope)
        known = self._registrations.setdefault(registration.provides, registration)
        if known is not registration:
            raise IMPORT_PROVIDER_DUPLICATE.error(
                provides=_name(known.provides),
                first=_name(known.source),
                second=_name(source),
            )

    def value(self, provides: type[T], value: T) -> None:
        """Register something that exists; whoever made it also closes it."""
        self.provide(_constant(value), provides=provides)

    def knows(self, provides: Any) -> bool:
        """Whether something provides the type."""
        return provides in self._registrations

    def override(self, provides: Any, source: Source) -> None:
        """Replace a provider, for a test; raises `IMPORT_NOTHING_TO_OVERRIDE`."""
        known = self._registrations.get(provides)
        if known is None:
            raise IMPORT_NOTHING_TO_OVERRIDE.error(provides=_name(provides))
        self._registrations[provides] = _Registration(provides, source, known.scope)

    def override_value(self, provides: type[T], value: T) -> None:
        """Replace a provider by something that exists, for a test."""
        self.override(provides, _constant(value))

    def build(self) -> "Container":
        """Check the whole graph without making anything.

        Raises `IMPORT_DEPENDENCY_MISSING` or `IMPORT_DEPENDENCY_CYCLE` with the path that leads
        there, `IMPORT_LAZY_FAILED` or `IMPORT_GRAPH_INVALID`.
        """
        provider = Provider()
        provider.from_context(provides=TenantId, scope=Scope.TENANT)
        for registration in self._registrations.values():
            self._add(provider, registration)
        try:
            return Container(make_async_container(provider, scopes=Scope))
        except CycleDependenciesError as exc:
            names = [_name(factory.provides.type_hint) for factory in exc.path]
            raise IMPORT_DEPENDENCY_CYCLE.error(path=" → ".join([*names, names[0]])) from exc
        except NoFactoryError as exc:
            raise self._missing(exc, _graph(provider)) from exc
        except DishkaError as exc:
            raise IMPORT_GRAPH_INVALID.error(problem=str(exc)) from exc

    def _add(self, provider: Provider, registration: _Registration) -> None:
        source = registration.source
        if isinstance(source, LazyImport):
            source.check()
            source = source.factory()
        try:
            provider.provide(source, scope=registration.scope, provides=registration.provides)
        except (DishkaError, TypeError, NameError) as exc:
            raise IMPORT_GRAPH_INVALID.error(problem=f"{_name(source)}: {exc}") from exc

    def _missing(self, exc: NoFactoryError, graph: Mapping[str, tuple[str, ...]]) -> Exception:
        path = [_name(factory.provides.type_hint) for factory in exc.path]
        if path:
            path = [*path_to(graph, path[0])[:-1], *path]
        missing = _name(exc.requested.type_hint)
        scopes = [factory.scope for factory in exc.suggest_other_scopes]
        hint = ""
        if scopes and scopes[0] is not None:
            hint = f" (there is one in the narrower scope {scopes[0].name})"
        return IMPORT_DEPENDENCY_MISSING.error(
            missing=missing, path=" → ".join([*path, missing]), hint=hint
        )


class Container:
    """Makes what it is asked for, once per scope; leaving it cleans up in reverse.

    When making something fails, what was made for it is cleaned up when the scope is left.
    """

    def __init__(self, container: AsyncContainer) -> None:
        self._container = container

    async def get(self, wanted: type[T]) -> T:
        """The object of this type in this scope or a wider one.

        Raises `IMPORT_DEPENDENCY_MISSING`, or what the provider raised.
        """
        try:
            return await self._container.get(wanted)
        except (NoFactoryError, NoContextValueError) as exc:
            raise IMPORT_DEPENDENCY_MISSING.error(
                missing=_name(wanted),
                path=f"scope {self._container.scope.name} → {_name(wanted)}",
                hint=f" ({str(exc).splitlines()[0]})",
            ) from exc

    def tenant(self, tenant: TenantId) -> "Container":
        """A scope for the work of one tenant; `async with` it. It provides the `TenantId`."""
        return Container(self._container(context={TenantId: tenant}, scope=Scope.TENANT))

    def request(self) -> "Container":
        """A scope for one request; `async with` it."""
        return Container(self._container(scope=Scope.REQUEST))

    async def close(self) -> None:
        """Clean up everything made in this scope, the last first.

        Every clean-up runs; errors are raised together as an `ExceptionGroup`.
        """
        await self._container.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._container.close(exc)


def _constant(value: T) -> Callable[[], T]:
    return lambda: value


def _provided_type(source: Source, provides: Any) -> Any:
    if provides is not None:
        return provides
    if isinstance(source, LazyImport):
        raise IMPORT_GRAPH_INVALID.error(problem=f"lazy {source.target} needs `provides`")
    try:
        probe = Provider(scope=Scope.APP).provide(source)
    except (DishkaError, TypeError, NameError) as exc:
        raise IMPORT_GRAPH_INVALID.error(problem=f"{_name(source)}: {exc}") from exc
    return cast("Any", probe.dependency_sources[0]).provides.type_hint


def _graph(provider: Provider) -> dict[str, tuple[str, ...]]:
    return {
        _name(factory.provides.type_hint): tuple(
            _name(key.type_hint)
            for key in (*factory.dependencies, *factory.kw_dependencies.values())
        )
        for factory in provider.factories
    }


def _name(thing: Any) -> str:
    if isinstance(thing, LazyImport):
        return f"lazy {thing.target}"
    return str(getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or thing)
