"""Base64url as tokens and codes use it: no padding, and exactly one spelling per value."""

import base64
import binascii


def base64url_encode(data: bytes) -> str:
    """Encode without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def base64url_decode(text: str) -> bytes:
    """Decode the canonical form only; raises `ValueError` for every other spelling.

    Python's decoder skips foreign characters and ignores spare bits, so one signature would have
    many valid spellings; encoding again and comparing leaves one.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ValueError("not base64url") from exc
    if base64url_encode(data) != text:
        raise ValueError("not canonical base64url")
    return data
