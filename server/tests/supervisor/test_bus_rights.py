"""Rights on the bus, found in the code: who makes an event may say it, who asks for one may hear it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from nats.aio.msg import Msg

import aitrading.core.infrastructure.event_bus as in_core
import aitrading.server.kit.postgres as in_kit
from aitrading.core.infrastructure.event_bus import Event, Everywhere, subject_of
from aitrading.core.infrastructure.events import ALL_EVENTS
from aitrading.core.kit.ids import TenantId
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.supervisor.bundles import SERVICE_NAMES
from aitrading.server.supervisor.stores import BUS_RIGHTS
from aitrading.server.testing.engines import running_nats

SERVER: Final = Path(in_kit.__file__).parents[1]
CORE: Final = Path(in_core.__file__).parents[1]
EVENTS: Final = {event.__name__: event for event in ALL_EVENTS}
NOT_RUN: Final = {SERVER / "benchmarks", SERVER / "testing", CORE / "testing"}
"""What no service runs; benchmarks have a bus of their own."""
TRANSPORT: Final = {SERVER / "kit/bus_nats.py", SERVER / "kit/bus_nats_routes.py"}
"""Says what it is given."""
TENANT: Final = TenantId(UUID("01890000-0000-7000-8000-000000000000"))
LAST: Final = "ait.platform.service.done"
Said = set[tuple[str, str, TenantId | None]]
Heard = set[tuple[str, str]]


def services_of(file: Path) -> tuple[str, ...]:
    """Who runs this code: one service its own room, every service what they share."""
    room = file.relative_to(SERVER).parts[0] if file.is_relative_to(SERVER) else "core"
    name = room.replace("_", "-")
    return (name,) if name in SERVICE_NAMES else SERVICE_NAMES


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for root in (SERVER, CORE):
        for file in root.rglob("*.py"):
            if not NOT_RUN & set(file.parents) and file not in TRANSPORT:
                yield file, ast.parse(file.read_text(encoding="utf-8"))


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def is_method(call: ast.Call, *names: str) -> bool:
    """A method of something that is named like a bus."""
    return (
        isinstance(call.func, ast.Attribute)
        and call.func.attr in names
        and ast.unparse(call.func.value).endswith("bus")
    )


def event_of(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) and node.id in EVENTS else None


def named_in(tree: ast.Module) -> set[str]:
    """Events that a module imports: made here, or by what is asked here."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {alias.name for node in imports for alias in node.names if alias.name in EVENTS}


def imports_from(tree: ast.Module, file: Path) -> bool:
    """Whether a module imports from this file, as those do that fill in what it leaves open."""
    module = ".".join(file.with_suffix("").parts[-3:])
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return any((node.module or "").endswith(f".{module}") for node in imports)


def named_for(file: Path, tree: ast.Module) -> set[str]:
    """Events that a module says: the ones it names, or those of the modules that build on it."""
    others = (named_in(other) for _, other in sources() if imports_from(other, file))
    return named_in(tree) or set().union(*others)


def found() -> tuple[Said, Heard]:
    """Who says what for whom, and who hears what; fails at what it cannot read."""
    made: Heard = set()
    said: Said = set()
    heard: Heard = set()
    for file, tree in sources():
        services = services_of(file)
        for call in calls(tree):
            place = f"{file}:{call.lineno}"
            if name := event_of(call.func):
                made |= {(service, name) for service in services}
            elif is_method(call, "publish", "request"):
                named = named_for(file, tree)
                assert named, f"{place} says an event that cannot be told from the code"
                owned = any(keyword.arg == "tenant" for keyword in call.keywords)
                owners = (None, TENANT) if owned else (None,)
                said |= {
                    (who, what, owner) for who in services for what in named for owner in owners
                }
            elif is_method(call, "subscribe", "respond"):
                name = event_of(call.args[0])
                assert name, f"{place} asks for an event that cannot be told from the code"
                heard |= {(service, name) for service in services}
    silent = made - {(who, what) for who, what, _ in said}
    assert not silent, "made, but by no module that names it said on a `bus`"
    return {each for each in said if each[:2] in made}, heard


def covers(patterns: tuple[str, ...], subject: str) -> bool:
    return any(_covers(pattern.split("."), subject.split(".")) for pattern in patterns)


def _covers(pattern: list[str], subject: list[str]) -> bool:
    if pattern[0] == ">":
        return True
    same = subject[0] == pattern[0] or pattern[0] == "*"
    if len(pattern) == 1 or len(subject) == 1:
        return same and len(pattern) == len(subject)
    return same and _covers(pattern[1:], subject[1:])


def test_the_code_is_read_as_it_is_known_to_be() -> None:
    said, hear = found()
    say = {(service, name) for service, name, _ in said}
    assert {("api-gateway", "DeviceRevoked"), ("data-bridge", "FeedStateChanged")} <= say
    assert ("database-service", "ErrorRecognised") in say
    assert ("data-bridge", "ErrorRecognised") not in say
    assert {(service, "ErrorsSeen") for service in SERVICE_NAMES} <= say
    assert {("data-bridge", "DeviceRevoked"), ("trading-engine", "FeedStateChanged")} <= hear
    assert ("database-service", "ErrorsSeen") in hear


def test_every_event_of_the_platform_is_listed() -> None:
    ours = {kind for kind in Event.__subclasses__() if kind.__module__.startswith("aitrading.")}
    ours = {kind for kind in ours if ".benchmarks." not in kind.__module__}
    assert ours <= set(ALL_EVENTS)


def test_whoever_hears_an_event_may_subscribe_to_it() -> None:
    for service, name in found()[1]:
        subject = subject_of(EVENTS[name], Everywhere.EVERYWHERE)
        assert covers(BUS_RIGHTS[service].subscribe, subject), (service, subject)


@pytest.mark.integration
@async_test
async def test_whoever_makes_an_event_may_say_it(tmp_path: Path) -> None:
    heard: set[tuple[str, str]] = set()

    async def note(message: Msg) -> None:
        heard.add((message.data.decode(), message.subject))

    spoken = {(service, subject_of(EVENTS[name], owner)) for service, name, owner in found()[0]}
    async with running_nats(tmp_path, BUS_RIGHTS) as server:
        listener = await server.client(SERVICE_NAMES[0])
        await listener.subscribe("ait.>", cb=note)
        await listener.flush()
        for service in SERVICE_NAMES:
            speaker = await server.client(service)
            for name, subject in spoken:
                if name == service:
                    await speaker.publish(subject, service.encode())
            await speaker.publish(LAST, service.encode())
            await speaker.close()
        done = {(service, LAST) for service in SERVICE_NAMES}
        await eventually(lambda: done <= heard, what="every service having spoken")
        await listener.close()
    assert not spoken - heard, "said without the right to: BUS_RIGHTS in supervisor/stores.py"
