"""The embedded NATS, for real: mutual TLS, a user per service, messages on disk."""

import ssl
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.engines.nats import SubjectRights
from aitrading.server.kit.bundle import TlsFiles
from aitrading.server.testing.engines import RunningNats, running_nats

pytestmark = pytest.mark.integration
GUESS = "not it"


def context(files: TlsFiles, *, with_certificate: bool = True) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(files.ca))
    if with_certificate:
        made.load_cert_chain(files.certificate, files.private_key)
    return made


async def connect(server: RunningNats, user: str, **changes: Any) -> Client:
    access = server.access(user)
    options: dict[str, Any] = {
        "user": access.user,
        "password": access.password,
        "tls": context(server.tls(user)),
        "tls_hostname": "localhost",
        "inbox_prefix": f"_INBOX.{user}",
        "allow_reconnect": False,
        "max_reconnect_attempts": 0,
        **changes,
    }
    return await nats.connect(access.url, **options)


@async_test
async def test_a_service_publishes_and_a_durable_stream_survives_a_restart(tmp_path: Path) -> None:
    async with running_nats(tmp_path) as server:
        connection = await connect(server, "data-bridge")
        stream = connection.jetstream()
        await stream.add_stream(name="EVENTS", subjects=["ait.>"])
        await stream.publish("ait.platform.test", b"kept")
        await connection.close()
    async with running_nats(tmp_path) as server:
        connection = await connect(server, "api-gateway")
        info = await connection.jetstream().stream_info("EVENTS")
        assert info.state.messages == 1
        await connection.close()


@async_test
async def test_without_a_certificate_or_password_nobody_gets_in(tmp_path: Path) -> None:
    async with running_nats(tmp_path) as server:
        stranger = context(server.tls("data-bridge"), with_certificate=False)
        with pytest.raises((nats.errors.Error, OSError)):
            await connect(server, "data-bridge", tls=stranger)
        with pytest.raises((nats.errors.Error, OSError)):
            await connect(server, "data-bridge", password=GUESS)


@async_test
async def test_no_service_can_destroy_or_copy_stored_events(tmp_path: Path) -> None:
    async with running_nats(tmp_path) as server:
        connection = await connect(server, "data-bridge")
        stream = connection.jetstream()
        await stream.add_stream(name="EVENTS", subjects=["ait.>"])
        await stream.publish("ait.platform.test", b"kept")
        for call in ("DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT"):
            with pytest.raises(nats.errors.Error):
                await connection.request(
                    f"$JS.API.STREAM.{call}.EVENTS", b'{"seq":1}', timeout=0.3
                )
        assert (await stream.stream_info("EVENTS")).state.messages == 1
        await connection.close()


@async_test
async def test_a_user_is_kept_to_its_subjects(tmp_path: Path) -> None:
    rights = {"reader": SubjectRights(publish=("ait.own.>",), subscribe=("ait.own.>",))}
    async with running_nats(tmp_path, rights) as server:
        refusals: list[Exception] = []

        async def note(error: Exception) -> None:
            refusals.append(error)

        connection = await connect(server, "reader", error_cb=note)
        await connection.publish("ait.other.secret", b"")
        await eventually(lambda: refusals, what="the server's refusal")
        await connection.close()
        assert "permissions violation" in str(refusals[0]).lower()
