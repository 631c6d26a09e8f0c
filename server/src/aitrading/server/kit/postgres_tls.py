"""How a connection to PostgreSQL is encrypted: TLS 1.3 with full verification, or a socket."""

import ssl

from aitrading.core.security.db_security_manager import (
    MINIMUM_TLS_VERSION,
    Store,
    require_encryption,
)
from aitrading.server.kit.bundle import PostgresAccess


def ssl_of(access: PostgresAccess) -> ssl.SSLContext | bool:
    """What asyncpg takes as `ssl`; raises `DATABASE_PLAINTEXT_REFUSED` for a host without TLS."""
    require_encryption(Store.POSTGRES, host=access.host, tls=access.tls)
    if not access.tls:
        return False
    context = ssl.create_default_context(cafile=str(access.ca) if access.ca else None)
    context.minimum_version = ssl.TLSVersion[MINIMUM_TLS_VERSION.replace(".", "_")]
    return context
