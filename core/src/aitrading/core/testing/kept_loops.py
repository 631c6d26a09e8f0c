"""Every loop that is kept, made to fail once: it is told, and it goes on.

`kept_loops` finds in the source what is given to `TaskSet.keep`; `assembled` makes an owner of
which everything but its loops is silent; `FailingOnce` fails the loop at the first place at which
it waits, as nobody foresaw.
"""

import ast
import asyncio
import inspect
import typing
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Self
from unittest import mock

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import AGAIN_FIRST_S, ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.randomness import Randomness
from aitrading.core.testing.manual_clock import ManualClock, settle
from aitrading.core.testing.seeded import SeededRandomness

Work = Callable[[], Coroutine[Any, Any, None]]
_PLAIN: Final[dict[object, object]] = {int: 1, float: 1.0, str: "any", bool: True}


@dataclass(frozen=True, order=True)
class KeptLoop:
    """Where a loop is given to `keep`; without a name where that is not written down."""

    module: str
    owner: str
    name: str

    @property
    def kind(self) -> Any:
        """The class that keeps it."""
        return getattr(import_module(self.module), self.owner)

    @override
    def __str__(self) -> str:
        return f"{self.module.removeprefix('aitrading.')}.{self.owner}/{self.name}"


def kept_loops(package: str) -> list[KeptLoop]:
    """Every loop that is kept below a package."""
    [root] = import_module(package).__path__
    return sorted(
        KeptLoop(".".join((package, *path.relative_to(root).with_suffix("").parts)), owner, name)
        for path in Path(root).rglob("*.py")
        for owner, name in _kept_in(ast.parse(path.read_text(encoding="utf-8")))
    )


def _kept_in(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for owner in (each for each in tree.body if isinstance(each, ast.ClassDef)):
        for call in (each for each in ast.walk(owner) if isinstance(each, ast.Call)):
            named = {each.arg: each.value for each in call.keywords}
            if (
                isinstance(call.func, ast.Attribute)
                and call.func.attr == "keep"
                and "clock" in named
            ):
                name = named["name"]
                yield owner.name, str(name.value) if isinstance(name, ast.Constant) else ""


class FailingOnce:
    """Lets a kept loop fail the first time it waits; counts how often it began and was told."""

    def __init__(self, loop: KeptLoop) -> None:
        self._name = loop.name
        self.began = 0
        self.told: list[Exception] = []
        self._is_planted = False

    @contextmanager
    def planted(self) -> Generator[None]:
        """For the block, whatever is kept under this name fails once."""
        keep = TaskSet.keep

        def keep_failing(tasks: TaskSet, work: Work, *, name: str, clock: Clock) -> None:
            if not self._is_planted and name == (self._name or name):
                self._is_planted = True
                self._listen(tasks)
                work = self._failing(work)
            keep(tasks, work, name=name, clock=clock)

        with mock.patch.object(TaskSet, "keep", keep_failing):
            yield

    def _listen(self, tasks: TaskSet) -> None:
        """Whoever is told of failures tells here too."""
        tell = tasks._on_error  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

        def told(task: str, error: Exception) -> None:
            self.told.append(error)
            tell(task, error)

        tasks._on_error = told  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def _failing(self, work: Work) -> Work:
        async def again() -> None:
            self.began += 1
            if self.began == 1:
                await _Failing(_done(work))
            else:
                await work()

        return again


async def _done(work: Work) -> None:
    await work()


class _Failing:
    """A coroutine into which an error comes where it waits first."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._work.send(None)
        if waits_for is not None:
            waits_for._asyncio_future_blocking = False  # noqa: SLF001 - nobody waits for it now
        error: BaseException | None = ZeroDivisionError("nobody foresaw this")
        while True:
            try:
                waits_for = self._work.throw(error) if error else self._work.send(None)
            except StopIteration:
                return  # the work is done
            try:
                error = yield waits_for
            except BaseException as exc:  # noqa: BLE001 - a cancellation too goes where it belongs
                error = exc


class Silent:
    """Stands for anything: answers whoever starts a part, and lets its loops wait for ever."""

    def __call__(self, *_: object, **__: object) -> Self:
        """Anything may be called, with anything."""
        return self

    def __getattr__(self, name: str) -> Self:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __await__(self) -> Generator[Any, Any, Self]:
        task = asyncio.current_task()
        if task is not None and "/" in task.get_name():
            yield from asyncio.get_running_loop().create_future()
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    async def __aiter__(self) -> AsyncIterator[Any]:
        await self
        yield self

    async def __aenter__(self) -> Self:
        await self
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def assembled(kind: Callable[..., Any], clock: Clock, folder: Path, **given: object) -> Any:
    """An owner of loops; what is not given and no tool of the house is silent."""
    known: dict[object, object] = {
        Clock: clock,
        ErrorHandler: _handler(clock),
        Metrics: Metrics(),
        Randomness: SeededRandomness(),
        Path: folder,
        **_PLAIN,
    }
    hints = typing.get_type_hints(kind.__init__ if inspect.isclass(kind) else kind)
    for name, each in inspect.signature(kind).parameters.items():
        if each.default is each.empty and name not in given:
            hint = hints.get(name)
            given[name] = known[hint] if hint in known else _by_default(hint)
    return kind(**given)


def _by_default(hint: Any) -> object:
    """Settings as they are when nobody changed them, else something silent."""
    return hint() if hasattr(hint, "SECTION") else Silent()


def _handler(clock: Clock) -> ErrorHandler:
    return ErrorHandler(
        clock=clock,
        randomness=SeededRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )


async def faults_of(loop: KeptLoop, component: Any, clock: ManualClock) -> list[str]:
    """Start the owner and let its loop fail once; what should have followed and did not."""
    failing = FailingOnce(loop)
    with failing.planted():
        await component.start()
        try:
            await settle()
            unforeseen = any(isinstance(each, ZeroDivisionError) for each in failing.told)
            said = component.state is not ComponentState.HEALTHY
            await clock.advance(AGAIN_FIRST_S)
            wanted = {
                "its failure is reported": unforeseen,
                "its owner says that it is not well": said,
                "it goes on": failing.began > 1,
            }
        finally:
            await component.stop()
    return [what for what, is_so in wanted.items() if not is_so]
