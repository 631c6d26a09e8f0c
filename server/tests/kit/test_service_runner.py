"""A service process as the supervisor and an operator see it."""

import asyncio
import os
import signal
import socket
import stat
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.kit.bundle import HttpListener
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.engines import running_nats
from aitrading.server.testing.services import RunningService, ServiceWorld

pytestmark = pytest.mark.integration
PROGRAM = str(Path(__file__).with_name("probe_service.py"))


class Greeting(msgspec.Struct):
    greeting: str
    peers: list[str]


@pytest.fixture
def world(tmp_path: Path) -> ServiceWorld:
    return ServiceWorld(tmp_path)


def diary(running: RunningService) -> list[str]:
    path = running.bundle.home / "diary"
    return path.read_text().splitlines() if path.exists() else []


@async_test
async def test_serves_the_edge_and_its_peers_and_stops_in_order(
    world: ServiceWorld,
) -> None:
    with world.start(world.bundle("probe"), PROGRAM) as running:
        await running.until_ready()
        listener = running.bundle.listener
        assert stat.filemode(listener.socket.stat().st_mode) == "srw-------"
        assert await running.get("/api/v1/greeting") == (
            200,
            {"greeting": "hello", "peers": ["probe"]},
        )
        status, health = await running.get("/health")
        assert status == 200
        assert health["components"]["worker"]["state"] == "HEALTHY"
        assert health["components"]["central-hub"]["state"] == "HEALTHY"

        friend, stranger = world.client("friend", running), world.client("stranger", running)
        answer = await friend.get("/internal/v1/greeting", answer=Greeting)
        assert answer == Greeting("hello friend", ["friend"])
        with pytest.raises(AitradingError) as refused:
            await stranger.get("/internal/v1/greeting", answer=Greeting)
        assert refused.value.code == "PEER_CALL_REFUSED"
        assert (await running.get("/internal/v1/greeting"))[0] == 403
        await friend.close()
        await stranger.close()

        running.signal(signal.SIGTERM)
        assert await running.ended() == 0
        assert diary(running)[1:] == ["worker starts", "worker stops", "closed"]
        assert not listener.socket.exists()


@async_test
async def test_inf_12_hub_injection_errors_and_log_work_together(world: ServiceWorld) -> None:
    with world.start(world.bundle("probe"), PROGRAM) as running:
        await running.until_ready()
        for _ in range(3):
            status, body = await running.get("/api/v1/broken")
            assert (status, body["error"]["code"]) == (500, "INTERNAL_ERROR")
        _, health = await running.get("/health")
        (folded,) = health["errors"]
        assert (folded["code"], folded["count"]) == ("UNEXPECTED", 3)
        logged = [line for line in running.lines() if line.get("error_code") == "UNEXPECTED"]
        assert logged[0]["fields"]["fingerprint"] == folded["fingerprint"]
        assert logged[0]["trace_id"]
        assert await running.get("/api/v1/greeting") == (
            200,
            {"greeting": "hello", "peers": ["probe"]},
        )


@async_test
async def test_waits_for_go_and_ends_with_its_supervisor(world: ServiceWorld) -> None:
    with world.start(world.bundle("probe"), PROGRAM, controlled=True) as running:
        await asyncio.sleep(0)
        running.go()
        await running.until_ready()
        running.hang_up()
        assert await running.ended() == 0
        assert "the supervisor is gone" in running.messages()
        assert diary(running)[-1] == "closed"


@async_test
async def test_the_end_of_the_supervisor_before_go_ends_it_too(world: ServiceWorld) -> None:
    with world.start(world.bundle("probe"), PROGRAM, controlled=True) as running:
        running.hang_up()
        assert await running.ended() == 0
        assert diary(running) == []


@async_test
async def test_says_that_it_is_starting(world: ServiceWorld) -> None:
    bundle = world.bundle("probe", settings={"probe.start": "hangs"})
    with world.start(bundle, PROGRAM) as running:
        await eventually(lambda: diary(running)[1:] == ["worker starts"])
        status, health = await running.get("/health/ready")
        assert (status, health["state"]) == (503, "STARTING")
        status, body = await running.get("/api/v1/greeting")
        assert (status, body["error"]["code"]) == (503, "SERVICE_STARTING")

        running.signal(signal.SIGTERM)
        assert await running.ended() == 0
        assert diary(running)[1:] == ["worker starts", "worker stops", "closed"]


@async_test
async def test_a_component_that_fails_ends_the_process_with_one_line(world: ServiceWorld) -> None:
    bundle = world.bundle("probe", settings={"probe.start": "fails"})
    with world.start(bundle, PROGRAM) as running:
        assert await running.ended() == 1
        last = running.lines()[-1]
        assert last["level"] == "CRITICAL"
        assert "there is no such thing" in last["msg"]
        assert diary(running)[-1] == "closed"


@async_test
async def test_inf_07_lists_every_configuration_error_and_exits_78(world: ServiceWorld) -> None:
    config = world.home / "aitrading.toml"
    config.write_text('[probe]\nsize = 70\ngreetign = "x"\n[other]\nunknown = 1\n')
    bundle = world.bundle("probe", config_file=config, settings={"probe.start": "never"})
    with world.start(bundle, PROGRAM, environ={"AITRADING_LOG_LEVEL": "LOUD"}) as running:
        assert await running.ended() == 78
        messages = running.messages()
        assert len(running.lines()) == 4
        for part in ("probe.size", "did you mean greeting?", "probe.start", "AITRADING_LOG_LEVEL"):
            assert part in messages


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "No such file"),
        (b"{", "truncated"),
        (b'{"service": "probe"}', "missing required field"),
    ],
)
@async_test
async def test_a_bundle_that_cannot_be_used_exits_78(
    world: ServiceWorld, content: bytes | None, expected: str
) -> None:
    path = world.home / "broken.json"
    if content is not None:
        path.write_bytes(content)
    with world.start(
        world.bundle("probe"), PROGRAM, environ={"AITRADING_BUNDLE": str(path)}
    ) as running:
        assert await running.ended() == 78
        text = running.log.read_text()
        assert "BUNDLE_UNREADABLE" in text
        assert expected in text
        assert "Traceback" not in text


@async_test
async def test_the_bundle_of_another_service_is_refused(world: ServiceWorld) -> None:
    with world.start(world.bundle("other"), PROGRAM) as running:
        assert await running.ended() == 78
        assert "BUNDLE_FOREIGN" in running.log.read_text()


@async_test
async def test_a_taken_port_is_named(world: ServiceWorld) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = world.home / "run" / "probe.sock"
        listener = HttpListener(socket=path, host="127.0.0.1", port=port)
        with world.start(world.bundle("probe", listener=listener), PROGRAM) as running:
            assert await running.ended() == 1
            last = running.lines()[-1]
            assert last["error_code"] == "LISTENER_FAILED"
            assert f"127.0.0.1:{port}" in last["msg"]


@async_test
async def test_settings_change_when_the_file_changes_or_at_sighup(world: ServiceWorld) -> None:
    config = world.home / "aitrading.toml"
    config.write_text('[probe]\ngreeting = "one"\n')

    async def greeting() -> Any:
        return (await running.get("/api/v1/greeting"))[1]["greeting"]

    async def state() -> Any:
        return (await running.get("/health"))[1]["state"]

    with world.start(world.bundle("probe", config_file=config), PROGRAM) as running:
        await running.until_ready()
        assert await greeting() == "one"
        config.write_text('[probe]\ngreeting = "two"\nsize = 3\n')
        await eventually(lambda: says(greeting, "two"))
        assert "setting probe.size: 1 → 3 (needs a restart)" in running.messages()

        config.write_text('[probe]\ngreeting = "three"\nsize = "x"\n')
        await eventually(
            lambda: "probe.size" in running.messages() and "'x'" in running.messages()
        )
        assert await greeting() == "two"
        health = (await running.get("/health"))[1]
        assert health["state"] == "DEGRADED"
        assert "the old settings are in effect" in health["components"]["reload"]["detail"]

        config.write_text('[probe]\ngreeting = "four"\n')
        running.signal(signal.SIGHUP)
        await eventually(lambda: says(greeting, "four"))
        assert (await running.get("/health"))[1]["state"] == "HEALTHY"

        config.write_bytes(b"\xff")
        await eventually(lambda: says(state, "DEGRADED"), what="the word on what is no text")
        config.write_text('[probe]\ngreeting = "five"\n')
        await eventually(lambda: says(greeting, "five"))


async def says(ask: Any, expected: str) -> bool:
    return await ask() == expected


@async_test
async def test_a_renewed_certificate_is_shown_to_new_connections(world: ServiceWorld) -> None:
    with world.start(world.bundle("probe"), PROGRAM) as running:
        await running.until_ready()
        before = running.bundle.tls.certificate.read_bytes()
        world.bundle("probe")
        assert running.bundle.tls.certificate.read_bytes() != before
        await eventually(lambda: "the certificate was renewed" in running.messages())
        friend = world.client("friend", running)
        await friend.get("/internal/v1/greeting", answer=Greeting)
        await friend.close()


@async_test
async def test_running_requests_end_before_components_stop(world: ServiceWorld) -> None:
    with world.start(world.bundle("probe"), PROGRAM) as running:
        await running.until_ready()
        async with asyncio.TaskGroup() as group:
            request = group.create_task(running.get("/api/v1/slow"))
            await eventually(lambda: "request begins" in diary(running))
            running.signal(signal.SIGTERM)
        assert request.result()[0] == 204
        assert await running.ended() == 0
        assert diary(running)[-3:] == ["request ends", "worker stops", "closed"]


@async_test
async def test_inf_06_services_find_each_other_over_nats_and_outlive_it(
    world: ServiceWorld,
) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        async with running_nats(world.home, port=port) as nats:
            one, two = [
                stack.enter_context(
                    world.start(
                        world.bundle(name, nats=nats.access(name), tls=nats.tls(name)),
                        PROGRAM,
                        name,
                    )
                )
                for name in ("data-bridge", "trading-engine")
            ]
            for service in (one, two):
                await service.until_ready()
                await eventually(partial(sees, service, "data-bridge", "trading-engine"))
        for service in (one, two):
            await eventually(partial(hub_state, service, "DEGRADED"))
            assert await service.is_ready()
            assert await sees(service, "data-bridge", "trading-engine")
        async with running_nats(world.home, port=port) as nats:
            for service in (one, two):
                nats.tls(service.bundle.service)
            for service in (one, two):
                await eventually(partial(hub_state, service, "HEALTHY"))
            one.signal(signal.SIGTERM)
            assert await one.ended() == 0
            await eventually(lambda: sees(two, "trading-engine"))
            two.signal(signal.SIGTERM)
            assert await two.ended() == 0


async def sees(service: RunningService, *names: str) -> bool:
    _, answer = await service.get("/api/v1/greeting")
    return answer["peers"] == list(names)


async def hub_state(service: RunningService, state: str) -> bool:
    _, health = await service.get("/health")
    return health["components"]["central-hub"]["state"] == state


@async_test
async def test_without_a_bundle_it_says_what_to_do() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", PROGRAM, stderr=asyncio.subprocess.PIPE, env={**os.environ}
    )
    _, text = await process.communicate()
    assert process.returncode == 78
    assert b"BUNDLE_MISSING" in text
    assert b"aitrading up" in text
