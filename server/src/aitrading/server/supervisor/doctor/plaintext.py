"""Whether a PostgreSQL given by URL would let a login go on without TLS.

What a server accepts stands in its `pg_hba.conf`, which only its superuser may read. So the doctor
knocks: it opens a connection, asks for no encryption and names a role. A server that refuses at
once has no line for that; one that asks for a password would have taken it in plain text. Nothing
secret is sent, and the answer holds for that role and this machine's address only.

https://www.postgresql.org/docs/current/protocol-flow.html
"""

import asyncio
from typing import Final

from aitrading.server.kit.bundle import PostgresAccess, PostgresAddress
from aitrading.server.supervisor.doctor.finding import Finding, fine, problem, unverified

CHECK: Final = "postgres plaintext"
TIMEOUT_S: Final = 5.0
_PROTOCOL_3_0: Final = 196_608
_ASKS_FOR_LOGIN: Final = b"R"
_REFUSES: Final = b"E"
_NO_LINE: Final = "28000"
"""SQLSTATE of "no pg_hba.conf entry for host …, no encryption"."""
_MAX_ANSWER: Final = 65_536
_CAUSE: Final = "Its pg_hba.conf has a line that is not `hostssl`."
_REMEDY: Final = "Leave only `hostssl … scram-sha-256` lines there and reload it: docs/how-to/use-real-servers.md."


async def check_plaintext(access: PostgresAccess) -> Finding:
    """One finding about every server of the cluster; the worst answer is told."""
    if not access.tls:
        return fine(CHECK, "It is reached over a socket of this machine.")
    said = {server.name: await _knock(server, access) for server in access.servers}
    open_ones = [name for name, answer in said.items() if answer == _ASKS_FOR_LOGIN.decode()]
    unknown = [f"{name} ({answer})" for name, answer in said.items() if answer != _NO_LINE]
    if open_ones:
        told = f"{', '.join(open_ones)} goes on with a login without TLS."
        return problem(CHECK, told, cause=_CAUSE, remedy=_REMEDY)
    if unknown:
        return unverified(CHECK, f"Not known of {', '.join(unknown)}.")
    return fine(CHECK, f"Refused by {', '.join(said)} for this role and this machine.")


async def _knock(server: PostgresAddress, access: PostgresAccess) -> str:
    """`R` when it goes on with the login, the SQLSTATE of its refusal, or why nothing is known."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            try:
                writer.write(_hello(access))
                kind = await reader.readexactly(1)
                length = int.from_bytes(await reader.readexactly(4)) - 4
                if kind != _REFUSES or not 0 <= length <= _MAX_ANSWER:
                    return kind.decode("ascii", "replace")
                return _sqlstate(await reader.readexactly(length))
            finally:
                writer.transport.abort()
    except TimeoutError:  # before OSError, which it is a kind of
        return "no answer"
    except EOFError:
        return "it hung up"
    except OSError as exc:
        return exc.strerror or type(exc).__name__


def _hello(access: PostgresAccess) -> bytes:
    """A start-up message without the request for TLS that a client of ours always sends first."""
    words = b"".join(
        word.encode() + b"\0" for word in ("user", access.user, "database", access.database)
    )
    body = _PROTOCOL_3_0.to_bytes(4) + words + b"\0"
    return (len(body) + 4).to_bytes(4) + body


def _sqlstate(fields: bytes) -> str:
    for field in fields.split(b"\0"):
        if field[:1] == b"C":
            return field[1:].decode("ascii", "replace")
    return "an error without a code"
