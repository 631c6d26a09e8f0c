"""Turns asyncpg's exceptions into the platform's errors; no row data gets into a message."""

import ssl
from collections.abc import Generator
from contextlib import contextmanager

import asyncpg

from aitrading.core.kit.errors import AitradingError, ErrorSpec
from aitrading.server.kit.database_errors import (
    DATABASE_ALREADY_EXISTS,
    DATABASE_CONNECTION_LOST,
    DATABASE_CONSTRAINT_VIOLATED,
    DATABASE_DEADLOCK,
    DATABASE_LOCK_TIMEOUT,
    DATABASE_NOT_PERMITTED,
    DATABASE_OUT_OF_RESOURCES,
    DATABASE_READ_ONLY,
    DATABASE_REJECTED,
    DATABASE_SERIALISATION_FAILURE,
    DATABASE_SERVER_UNTRUSTED,
    DATABASE_STATEMENT_TIMEOUT,
    DATABASE_VALUE_REFUSED,
)

_BY_SQLSTATE: dict[str, ErrorSpec] = {
    "40001": DATABASE_SERIALISATION_FAILURE,
    "40P01": DATABASE_DEADLOCK,
    "55P03": DATABASE_LOCK_TIMEOUT,
    "57014": DATABASE_STATEMENT_TIMEOUT,
    "57P01": DATABASE_CONNECTION_LOST,
    "57P02": DATABASE_CONNECTION_LOST,
    "57P03": DATABASE_CONNECTION_LOST,
    "57P05": DATABASE_CONNECTION_LOST,
    "25P03": DATABASE_CONNECTION_LOST,
    "25006": DATABASE_READ_ONLY,
    "42501": DATABASE_NOT_PERMITTED,
    "23505": DATABASE_ALREADY_EXISTS,
}
_BY_CLASS: dict[str, ErrorSpec] = {
    "08": DATABASE_CONNECTION_LOST,
    "22": DATABASE_VALUE_REFUSED,
    "23": DATABASE_CONSTRAINT_VIOLATED,
    "53": DATABASE_OUT_OF_RESOURCES,
}
CONNECTION_FAULTS = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
DRIVER_FAULTS = (asyncpg.PostgresError, *CONNECTION_FAULTS)


@contextmanager
def mapped_errors() -> Generator[None]:
    """Raise the platform's error for every exception of the driver."""
    try:
        yield
    except DRIVER_FAULTS as exc:
        raise mapped(exc) from exc


def mapped(exc: Exception) -> AitradingError:
    """The platform's error for one of `DRIVER_FAULTS`."""
    if isinstance(exc, asyncpg.PostgresError):
        return typed(exc)
    if isinstance(exc, ssl.SSLCertVerificationError):
        return DATABASE_SERVER_UNTRUSTED.error(problem=exc.verify_message)
    return DATABASE_CONNECTION_LOST.error(reason=type(exc).__name__)


def typed(exc: asyncpg.PostgresError) -> AitradingError:
    """The platform's error for one of the server's."""
    sqlstate = sqlstate_of(exc)
    spec = _BY_SQLSTATE.get(sqlstate) or _BY_CLASS.get(sqlstate[:2], DATABASE_REJECTED)
    constraint = getattr(exc, "constraint_name", None)
    return spec.error(sqlstate=sqlstate, constraint=constraint or "unnamed")


def sqlstate_of(exc: asyncpg.PostgresError) -> str:
    """The five characters that name the error; "08000" when the connection broke before."""
    return str(getattr(exc, "sqlstate", None) or "08000")
