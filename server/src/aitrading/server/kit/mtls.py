"""TLS between services: 1.3 only, both sides show a certificate of the internal authority.

With TLS 1.3 a client whose certificate is refused learns it at its first read, not in the
handshake: a connection counts only when the peer has answered.
"""

import asyncio
import ssl
from typing import Any, Final, cast

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.certificates import ServiceIdentity, parse_service
from aitrading.server.kit.bundle import TlsFiles
from aitrading.server.kit.one_write import OneWrite
from aitrading.server.policy import tls_policy

PEER_IDENTITY: Final = "aitrading.peer"
"""Where the ASGI scope's state holds the `ServiceIdentity` that the handshake proved."""

_VERSION: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def server_context(tls: TlsFiles) -> ssl.SSLContext:
    """For a listener: refuses every client without a certificate of the internal authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    return _harden(context, tls)


def client_context(tls: TlsFiles) -> ssl.SSLContext:
    """For calls: presents our certificate, checks the peer's chain and host name."""
    return _harden(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tls)


class RenewedTls:
    """A client's context that shows the certificate as it lies on disk now.

    A certificate ends after 24 hours and is replaced long before; a client may live for months.
    """

    def __init__(self, tls: TlsFiles) -> None:
        self._tls = tls
        self._version = _version_of(tls)
        self._context = client_context(tls)

    def context(self) -> ssl.SSLContext:
        """For the next handshake."""
        version = _version_of(self._tls)
        if version != self._version:
            reload_certificate(self._context, self._tls)
            self._version = version
        return self._context


def reload_certificate(context: ssl.SSLContext, tls: TlsFiles) -> None:
    """Use a renewed certificate from the next handshake on; live connections stay."""
    context.load_cert_chain(tls.certificate, tls.private_key)


def peer_identity(transport: asyncio.BaseTransport) -> ServiceIdentity | None:
    """The service on the other side as its certificate names it; None without one."""
    connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    certificate = connection.getpeercert() if connection else None
    if not certificate:
        return None
    names: Any = certificate.get("subjectAltName", ())
    uris = [str(value) for kind, value in names if kind == "URI"]
    try:
        return parse_service(uris[0]) if len(uris) == 1 else None
    except AitradingError:
        return None


class MtlsHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol that also tells the application who is connected; answers leave whole.

    On a listener without TLS the state holds nothing, so routes for peers stay closed there.
    """

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", OneWrite(transport, self.loop))
        identity = peer_identity(transport)
        if identity is not None:
            self.app_state = {**self.app_state, PEER_IDENTITY: identity}


def _harden(context: ssl.SSLContext, tls: TlsFiles) -> ssl.SSLContext:
    context.minimum_version = _VERSION[tls_policy().minimum]
    context.maximum_version = _VERSION[tls_policy().maximum]
    context.set_ecdh_curve(tls_policy().internal_group)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cafile=tls.ca)
    context.load_cert_chain(tls.certificate, tls.private_key)
    return context


def _version_of(tls: TlsFiles) -> tuple[int, int]:
    """Of the certificate, which is written after its key."""
    found = tls.certificate.stat()
    return found.st_mtime_ns, found.st_ino
