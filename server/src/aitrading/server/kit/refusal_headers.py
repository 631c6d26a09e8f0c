"""What an answer carries beside its body, where a request is refused as where an upgrade is."""

import math
import re
from typing import Final

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory
from aitrading.server.kit.rate_headers import refused_headers

REQUEST_ID: Final = "x-request-id"
SECURITY_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Set on every answer unless the handler chose its own value."""
_UNAUTHORIZED: Final = 401
_REQUEST_ID_FORMAT: Final = re.compile(r"[A-Za-z0-9-]{8,64}")


def refusal_headers(error: AitradingError) -> dict[str, str]:
    """What a refusal says to programs: how to log in, and when to come again."""
    headers: dict[str, str] = {}
    if error.spec.http_status == _UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    retry_after_s = error.fields.get("retry_after_s")
    if isinstance(retry_after_s, int | float):
        headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    return headers | refused_headers(error)


def request_id_of(given: str, ids: IdFactory) -> str:
    """The id that came with a request, if it is one, or a new one."""
    return given if _REQUEST_ID_FORMAT.fullmatch(given) else str(ids.new())
