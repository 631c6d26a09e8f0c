"""Debian's Redis with TLS 1.3, client certificates and one user: the cache as a server.

Skips with `redis_missing()` as the reason where the program is not installed.
"""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.eventually import eventually
from aitrading.server.engines.process import Launch, start_process
from aitrading.server.kit.bundle import ValkeyAccess
from aitrading.server.kit.cache.port import LIMITS
from aitrading.server.kit.valkey import ValkeyClient
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.engines import ThrowawayAuthority

PROGRAM: Final = "redis-server"
PASSWORD: Final = "of-this-test-only"  # noqa: S105  # pragma: allowlist secret


def redis_missing() -> str:
    """Why there is no server; empty when there is one."""
    return "" if shutil.which(PROGRAM) else f"{PROGRAM} is not installed (scripts/test_tools.sh)"


@asynccontextmanager
async def running_redis(folder: Path, service: str) -> AsyncGenerator[ValkeyAccess]:
    """Run it for the block on a free port; gives the login of one service."""
    authority = ThrowawayAuthority(folder / "redis-ca")
    server, client = authority.issue("redis"), authority.issue(service)
    port = free_port()
    acl = folder / "redis.acl"
    acl.write_text(
        "user default off\n"
        f"user {service} on >{PASSWORD} resetchannels ~{service}:* ~{LIMITS}:* &{service}:*"
        " +@all -@admin -@dangerous -scan -randomkey\n"
    )
    options = {
        "port": "0",
        "tls-port": str(port),
        "bind": "127.0.0.1",
        "tls-cert-file": str(server.certificate),
        "tls-key-file": str(server.private_key),
        "tls-ca-cert-file": str(server.ca),
        "tls-auth-clients": "yes",
        "tls-protocols": "TLSv1.3",
        "aclfile": str(acl),
        "dir": str(folder),
        "save": "",
        "daemonize": "no",
    }
    arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
    program = shutil.which(PROGRAM) or PROGRAM
    launch = Launch(command=(program, *arguments), environment={}, folder=folder)
    access = ValkeyAccess(
        user=service,
        password=PASSWORD,
        url=f"rediss://localhost:{port}?sslrootcert={server.ca}",
        tls=client,
    )
    with (folder / "redis.log").open("ab", buffering=0) as log:
        process = start_process(launch, log.write)
        try:
            await eventually(lambda: _answers(access), what="Redis over TLS")
            yield access
        finally:
            await process.stop()


async def _answers(access: ValkeyAccess) -> bool:
    client = ValkeyClient(access)
    try:
        return await client.call("PING") == b"PONG"
    except AitradingError:
        return False
    finally:
        await client.stop()
