"""Checks of the stores with the logins that services use, embedded engine or server alike."""

import asyncio
from collections.abc import Awaitable, Callable

from nats.aio.client import Client
from nats.errors import Error as NatsError

from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.database_service.postgres_schema import runner_of
from aitrading.server.kit.bundle import ServiceBundle, load_bundle
from aitrading.server.kit.mtls import client_context
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.row_security import require_row_security
from aitrading.server.supervisor.doctor.finding import Finding, fine, problem, unverified, wrong
from aitrading.server.supervisor.doctor.plaintext import CHECK as PLAINTEXT
from aitrading.server.supervisor.doctor.plaintext import check_plaintext
from aitrading.server.supervisor.home import Home

CHECK_TIMEOUT_S = 15.0
BUNDLE_OF = "database-service"
_SETTINGS = """
SELECT current_setting('server_version') AS version,
       current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'
           AND current_setting('synchronous_commit') <> 'off' AS durable,
       current_setting('data_checksums') = 'on' AS checksums
"""
_WEAK = (
    "The server was started with other settings than the platform asks for.",
    "Set fsync, full_page_writes and synchronous_commit to on; create clusters with checksums.",
)
Check = Callable[[ServiceBundle, Clock], Awaitable[Finding]]


async def check_databases(home: Home, clock: Clock) -> list[Finding]:
    """Log in everywhere and look; needs a running platform, whose logins it borrows."""
    try:
        bundle = load_bundle(home.bundles / f"{BUNDLE_OF}.json")
    except OSError:
        return [unverified("databases", "The platform does not run; its stores were not asked.")]
    checks: dict[str, Check] = {
        "postgres settings": _settings,
        PLAINTEXT: _plaintext,
        "row security": _row_security,
        "migrations": _migrations,
        "bus": _bus,
    }
    return [await _one(name, check, bundle, clock) for name, check in checks.items()]


async def _one(name: str, check: Check, bundle: ServiceBundle, clock: Clock) -> Finding:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check(bundle, clock)
    except AitradingError as exc:
        return wrong(name, exc)
    except (OSError, TimeoutError, NatsError) as exc:
        return problem(
            name,
            f"It could not be asked: {exc or type(exc).__name__}.",
            cause="The store does not answer, or refuses the login of the service.",
            remedy="Look at `aitrading status` and at the log of the store.",
        )


async def _settings(bundle: ServiceBundle, _: Clock) -> Finding:
    pool = _pool(bundle)
    await pool.start()
    try:
        async with pool.platform_read() as tx:
            row = (await tx.fetch(_SETTINGS))[0]
    finally:
        await pool.stop()
    name = "postgres settings"
    if row["durable"] and row["checksums"]:
        return fine(name, f"PostgreSQL {row['version']}, durable, with checksums.")
    cause, remedy = _WEAK
    return problem(name, "PostgreSQL may lose or damage data.", cause=cause, remedy=remedy)


async def _plaintext(bundle: ServiceBundle, _: Clock) -> Finding:
    return await check_plaintext(bundle.postgres["database"])


async def _row_security(bundle: ServiceBundle, _: Clock) -> Finding:
    pool = _pool(bundle)
    await pool.start()
    try:
        async with pool.platform_read() as tx:
            await require_row_security(tx)
    finally:
        await pool.stop()
    return fine("row security", "The wall between tenants has no hole.")


async def _migrations(bundle: ServiceBundle, clock: Clock) -> Finding:
    found = await runner_of(bundle, clock).status()
    pending = [step.file for step in found if not step.applied]
    if not pending:
        return fine("migrations", "All are applied.")
    return problem(
        "migrations",
        f"Not applied: {', '.join(pending)}.",
        cause="The database service has not finished, or failed, to bring the schema up to date.",
        remedy="Read logs/database-service.log; starting again tries again.",
    )


async def _bus(bundle: ServiceBundle, _: Clock) -> Finding:
    access = bundle.nats
    if access is None:
        return unverified("bus", "The platform was started without one.")
    client = Client()
    await client.connect(
        access.url,
        user=access.user,
        password=access.password,
        tls=client_context(bundle.tls),
        tls_hostname="localhost",
        allow_reconnect=False,
        max_reconnect_attempts=0,
    )
    try:
        await client.flush(timeout=5)
    finally:
        await client.close()
    return fine("bus", "It answers over mutual TLS with the login of the database service.")


def _pool(bundle: ServiceBundle) -> PostgresPool:
    return PostgresPool(bundle.postgres["database"], application="doctor")
