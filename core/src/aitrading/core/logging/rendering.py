"""Turning whatever a caller logs into safe, bounded JSON values.

What leaves here can be printed on a terminal: control characters, ANSI sequences and characters
that reorder or hide text are written as escapes. What looks like a secret is masked.
"""

import math
import re
import traceback
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from numbers import Integral, Real
from pathlib import PurePath
from types import TracebackType
from typing import Final, cast
from uuid import UUID

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret

_Collection = Mapping[str, object] | Iterable[object]
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MESSAGE_CHARS_MAX: Final = 8_192
VALUE_CHARS_MAX: Final = 2_048
KEY_CHARS_MAX: Final = 128
ITEMS_MAX: Final = 64
DEPTH_MAX: Final = 4
TRACEBACK_LINES_MAX: Final = 60
NAMES_CACHED_MAX: Final = 1_024
MASK: Final = "***"

_INT_LOW, _INT_HIGH = -(1 << 63), (1 << 64) - 1
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SECRET_WORDS: Final = frozenset(
    [
        *("password", "passwd", "pwd", "passphrase", "otp", "secret", "secrets"),
        *("token", "tokens", "jwt", "bearer", "authorization", "cookie", "cookies"),
        *("credential", "credentials", "apikey", "privatekey"),
    ]
)
_SECRET_PAIRS: Final = ("api_key", "private_key", "access_key", "enrolment_code", "login_link")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_ALWAYS_LOOK: Final = ("eyj", "://", "bearer", "basic", "-----begin")
_LOOK_BEFORE_VALUE: Final = ("passw", "pwd", "passphrase", "secret", "token", "api")
_SECRET_TEXT: Final = re.compile(
    r"""
      (?P<jwt>\beyJ[\w-]{6,}\.[\w-]{2,}(?:\.[\w-]*){1,3})
    | (?P<pem>-----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*KEY-----|\Z))
    | (?P<scheme>\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}
    | (?P<user>://[^\s/:@]*:)[^\s@]+(?=@)
    | (?P<pair>\b(?:\w*(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key))
        ["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|[^\s,;&"']+)
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def clean(text: str, chars_max: int = VALUE_CHARS_MAX) -> str:
    """Mask secrets, escape what could deceive a reader, and cut at a length."""
    if _may_hold_secret(text):
        text = _SECRET_TEXT.sub(_mask, text)
    if len(text) > chars_max:
        text = f"{text[:chars_max]}… ({len(text)} characters)"
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, text)


def is_secret_name(name: str) -> bool:
    """Whether a field of this name must not be shown (`db_password`, `accessToken`, …)."""
    lowered = name.lower().replace("-", "_")
    if any(pair in lowered for pair in _SECRET_PAIRS):
        return True
    return any(word.lower() in _SECRET_WORDS for word in _WORD.findall(name))


def render_fields(fields: Mapping[str, object], depth: int = 0) -> dict[str, Json]:
    """Render key/values; beyond the limit the rest is counted, not shown."""
    rendered: dict[str, Json] = {}
    for key, value in fields.items():
        if len(rendered) == ITEMS_MAX:
            rendered["…"] = f"{len(fields) - ITEMS_MAX} more"
            break
        name, secret = _field_name(str(key))
        rendered[name] = MASK if secret else render(value, depth)
    return rendered


def render(value: object, depth: int = 0) -> Json:
    """One value as JSON; never raises, whatever its `repr` does."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean(value.value if isinstance(value, Enum) else value)
    if isinstance(value, int | float):
        return _number(value)
    try:
        return _render_object(value, depth)
    except Exception as exc:  # noqa: BLE001 - a broken object must not break its caller's log call
        return f"<unprintable {type(value).__name__}: {type(exc).__name__}>"


def render_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> list[Json]:
    """The traceback as safe lines, the innermost last."""
    text = "".join(traceback.format_exception(kind, error, trace))
    return [clean(line) for line in text.splitlines()[-TRACEBACK_LINES_MAX:]]


def render_error(error: BaseException) -> dict[str, Json]:
    """Type and message of an exception, and the fields of ours."""
    rendered: dict[str, Json] = {"type": type(error).__name__}
    if isinstance(error, AitradingError):
        rendered["message"] = clean(error.message)
        rendered["fields"] = render_fields(error.fields, 1)
    else:
        rendered["message"] = clean(str(error))
    return rendered


def _may_hold_secret(text: str) -> bool:
    """A cheap look that is never wrong when it says no; most texts end here."""
    lowered = text.lower()
    if any(hint in lowered for hint in _ALWAYS_LOOK):
        return True
    assigns = "=" in text or ":" in text
    return assigns and any(hint in lowered for hint in _LOOK_BEFORE_VALUE)


def _render_object(value: object, depth: int) -> Json:
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, BaseException):
        return render_error(value)
    if isinstance(value, Enum):
        return render(cast("object", value.value), depth)
    if isinstance(value, Real):
        return _number(int(value) if isinstance(value, Integral) else float(value))
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _render_collection(cast("_Collection", value), depth)
    return _render_text(value)


def _render_text(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    if isinstance(value, UUID | PurePath | timedelta | Decimal):
        return clean(str(value))
    return value.isoformat() if isinstance(value, datetime | date) else clean(repr(value))


def _render_collection(value: "_Collection", depth: int) -> Json:
    if depth >= DEPTH_MAX:
        return "…"
    if isinstance(value, Mapping):
        return render_fields(cast("Mapping[str, object]", value), depth + 1)
    items = list(value)
    rendered = [render(item, depth + 1) for item in items[:ITEMS_MAX]]
    return rendered if len(items) <= ITEMS_MAX else [*rendered, f"… {len(items) - ITEMS_MAX} more"]


@lru_cache(maxsize=NAMES_CACHED_MAX)
def _field_name(key: str) -> tuple[str, bool]:
    name = clean(key, KEY_CHARS_MAX)
    return name, is_secret_name(name)


def _number(value: float) -> Json:
    if isinstance(value, int):
        return int(value) if _INT_LOW <= value <= _INT_HIGH else clean(hex(value))
    return float(value) if math.isfinite(value) else str(value)


def _mask(match: re.Match[str]) -> str:
    kept = match["scheme"] or match["user"] or match["pair"] or ""
    return kept + MASK


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code in _SHORT:
        return _SHORT[code]
    if code <= 0xFF:  # noqa: PLR2004 - the last code point that two digits can name
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - likewise


_SHORT: Final = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}
