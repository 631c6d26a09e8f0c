"""TLS as the client demands it: version 1.3, one authority, one name, known keys.

The trust store holds the authority of one installation and nothing else; the system's store is
never consulted. Key pins are checked inside the handshake, so nothing is sent to a server with a
valid certificate and a foreign key. Session tickets are off: a resumed session would skip that.
"""

import ssl
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from typing_extensions import override

from aitrading.core.security.crypto import inspect_certificate
from aitrading.core.security.own_authority import ask_for_own_certificate

LINK_PREFIX: Final = "link."


@dataclass(frozen=True, kw_only=True)
class ServerTrust:
    """What makes a server the right one."""

    ca_pem: str
    """The one accepted authority."""
    spki_pins: frozenset[bytes] = field(default_factory=frozenset[bytes])
    """SHA-256 of accepted public keys; empty accepts every key the authority certified."""


@dataclass(frozen=True, kw_only=True)
class ClientCertificate:
    """The device's own certificate and key."""

    certificate: Path
    private_key: Path


def link_name(host: str) -> str:
    """The server name of the link; the edge demands a device certificate under it."""
    return LINK_PREFIX + host


def client_context(
    trust: ServerTrust, certificate: ClientCertificate | None = None
) -> ssl.SSLContext:
    """A context that talks to the trusted server only, as this device if it has a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.options |= ssl.OP_NO_TICKET
    context.load_verify_locations(cadata=trust.ca_pem)
    ask_for_own_certificate(context)
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.private_key)
    if trust.spki_pins:
        _pin(context, trust.spki_pins)
    return context


def _pin(context: ssl.SSLContext, pins: Collection[bytes]) -> None:
    """Check the pins at the end of every handshake, of streams and of plain sockets."""

    class PinnedObject(ssl.SSLObject):
        @override
        def do_handshake(self) -> None:
            super().do_handshake()
            _require_pin(self.getpeercert(binary_form=True), pins)

    class PinnedSocket(ssl.SSLSocket):
        @override
        def do_handshake(self, *args: Any, **kwargs: Any) -> None:
            super().do_handshake(*args, **kwargs)
            _require_pin(self.getpeercert(binary_form=True), pins)

    context.sslobject_class = PinnedObject
    context.sslsocket_class = PinnedSocket


def _require_pin(certificate: bytes | None, pins: Collection[bytes]) -> None:
    if certificate is None or inspect_certificate(certificate).spki_sha256 not in pins:
        raise ssl.SSLCertVerificationError(1, "the server's key is not a pinned one")


def ssl_reason(exc: ssl.SSLError) -> str:
    """What a person should read about a failed handshake."""
    names = ("verify_message", "reason")  # an error that we raise ourselves has neither
    texts = [str(getattr(exc, name, None) or "") for name in names]
    return next((text for text in texts if text), str(exc.args[-1])).rstrip(".")
