"""What a security key signed, verified: WebAuthn level 2, sections 7.1 and 7.2, by `webauthn`.

Pure: an answer and what was asked give what is proved, or `KeyAnswerError`. Which challenge counts,
whose key it is and whether its counter grew are the database's to know.
"""

import asyncio
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import msgspec

from aitrading.core.security.encoding import base64url_decode
from aitrading.server.api_gateway.identity.factors.key_shapes import MadeKey, SignedByKey

ALGORITHMS: Final = (-7, -8, -257)
"""COSE: ECDSA with SHA-256, EdDSA, RSA with SHA-256. What keys in the field have; a page of ours
asks for one of these."""
_FORMATS: Final = ("none", "packed")
"""We ask for no attestation; a key that vouches for itself may answer in the second format."""


class KeyAnswerError(Exception):
    """The answer proves nothing; why is for no caller."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the key was asked to sign, and by which page."""

    challenge: bytes
    origin: str
    host: str


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key that answered for the first time."""

    credential_id: bytes
    public_key: bytes
    sign_count: int


async def library_loaded() -> None:
    """Load the library where it keeps nobody waiting: it costs 0.2 s that no start pays.

    Called when a key is asked, so it is there when the key has answered.
    """
    await asyncio.to_thread(import_module, "webauthn")


def verified_new(answer: MadeKey, asked: Asked) -> NewKey:
    """The key that was made for what was asked; raises `KeyAnswerError`."""
    from webauthn.helpers.cose import COSEAlgorithmIdentifier  # noqa: PLC0415 - heavy
    from webauthn.registration.verify_registration_response import (  # noqa: PLC0415 - heavy
        verify_registration_response,
    )

    try:
        _require_plain(answer)
        found = verify_registration_response(
            credential=msgspec.to_builtins(answer),
            expected_challenge=asked.challenge,
            expected_rp_id=asked.host,
            expected_origin=asked.origin,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(each) for each in ALGORITHMS],
        )
    except Exception as exc:  # parsers of hostile bytes raise whatever they raise
        raise KeyAnswerError from exc
    return NewKey(
        credential_id=found.credential_id,
        public_key=found.credential_public_key,
        sign_count=found.sign_count,
    )


def _require_plain(answer: MadeKey) -> None:
    """Other formats are not even parsed further: nothing here hangs on who built the key."""
    from webauthn.helpers import parse_attestation_object  # noqa: PLC0415 - heavy

    found = parse_attestation_object(base64url_decode(answer.response.attestation_object))
    if found.fmt not in _FORMATS:
        raise KeyAnswerError


def credential_of(answer: SignedByKey) -> bytes:
    """Which key says it signed; raises `KeyAnswerError`."""
    try:
        return base64url_decode(answer.raw_id)
    except ValueError as exc:
        raise KeyAnswerError from exc


def verified_count(answer: SignedByKey, asked: Asked, public_key: bytes) -> int:
    """How often the key says it signed; raises `KeyAnswerError`.

    Whether that grew is for the caller: only of an answer whose signature is right a step back
    says anything.
    """
    from webauthn.authentication.verify_authentication_response import (  # noqa: PLC0415 - heavy
        verify_authentication_response,
    )

    try:
        found = verify_authentication_response(
            credential=msgspec.to_builtins(answer),
            expected_challenge=asked.challenge,
            expected_rp_id=asked.host,
            expected_origin=asked.origin,
            credential_public_key=public_key,
            credential_current_sign_count=0,
        )
    except Exception as exc:  # parsers of hostile bytes raise whatever they raise
        raise KeyAnswerError from exc
    return found.new_sign_count
