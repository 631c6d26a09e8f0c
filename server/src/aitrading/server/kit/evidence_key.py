"""The platform's key for statements that are kept and verified later, without the platform.

It stays the same over restarts, unlike the keys with which services call each other; its public half
is in `trust/evidence-keys.jwks`.
"""

from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import SigningKey
from aitrading.server.authority.installation import evidence_key_file
from aitrading.server.kit.bundle import ServiceBundle


def evidence_key_of(bundle: ServiceBundle) -> SigningKey:
    """The key of this installation."""
    path = evidence_key_file(bundle.home / "run" / "bundles", bundle.service)
    return SigningKey.from_pem(Secret(path.read_bytes()))
