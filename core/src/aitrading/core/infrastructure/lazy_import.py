"""Importing a heavy provider only when its object is asked for."""

import asyncio
import importlib
import importlib.util
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from typing import Any

from aitrading.core.infrastructure.error_codes import IMPORT_LAZY_FAILED


@dataclass(frozen=True)
class LazyImport:
    """`module:attribute`, a class or factory called with `needs` (parameter name → type)."""

    target: str
    needs: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def module(self) -> str:
        """The module that is imported late."""
        return self.target.partition(":")[0]

    def check(self) -> None:
        """Find the module without running it; raises `IMPORT_LAZY_FAILED`."""
        module, _, attribute = self.target.partition(":")
        if not module or not attribute:
            raise self._failed("it is not written as module:attribute")
        try:
            found = importlib.util.find_spec(module) is not None
        except ImportError as exc:
            raise self._failed(str(exc)) from exc
        if not found:
            raise self._failed(f"no module named {module}")

    def load(self) -> Callable[..., Any]:
        """Import now; raises `IMPORT_LAZY_FAILED`."""
        try:
            loaded: Any = importlib.import_module(self.module)
            for name in self.target.partition(":")[2].split("."):
                loaded = getattr(loaded, name)
        except (ImportError, AttributeError) as exc:
            raise self._failed(str(exc)) from exc
        return loaded

    def factory(self) -> Callable[..., Any]:
        """An async generator whose signature asks for `needs`; imports in a worker thread."""

        async def make(**dependencies: Any) -> AsyncGenerator[Any, Any]:
            source = await asyncio.to_thread(self.load)
            async with AsyncExitStack() as stack:
                yield await _call(stack, source, dependencies)

        signature = Signature(
            [
                Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind)
                for name, kind in self.needs.items()
            ]
        )
        make.__signature__ = signature
        make.__annotations__ = dict(self.needs)
        make.__qualname__ = f"lazy {self.target}"
        return make

    def _failed(self, reason: str) -> Exception:
        return IMPORT_LAZY_FAILED.error(target=self.target, reason=reason)


def lazy(target: str, **needs: Any) -> LazyImport:
    """Provide `module:attribute` without importing it before it is needed.

    `needs` are the parameters to pass and their types, since the signature is not known yet::

        manager.provide(lazy("a.b:Engine", clock=Clock), provides=EnginePort)
    """
    return LazyImport(target, needs)


async def _call(
    stack: AsyncExitStack, source: Callable[..., Any], dependencies: dict[str, Any]
) -> Any:
    if inspect.isasyncgenfunction(source):
        manager = asynccontextmanager(source)(**dependencies)
        return await stack.enter_async_context(manager)
    if inspect.isgeneratorfunction(source):
        return stack.enter_context(contextmanager(source)(**dependencies))
    made = source(**dependencies)
    return await made if inspect.isawaitable(made) else made
