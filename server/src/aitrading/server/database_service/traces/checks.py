"""What a process may hand in: nothing that the store would refuse, and nothing without a limit."""

import re
from typing import Final
from uuid import UUID

from aitrading.core.infrastructure.tracing import Span, TracePart
from aitrading.core.infrastructure.tracing.spans import MAX_CODE_CHARS, MAX_NAME_CHARS
from aitrading.core.infrastructure.tracing.tracer import MAX_SPANS

MAX_SERVICE_CHARS: Final = 64
MAX_CUT: Final = (1 << 31) - 1
MAX_BEGAN_NS: Final = 1 << 62
"""The year 2116."""
MAX_TOOK_NS: Final = 1 << 60
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SPAN_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)


def is_sound(part: TracePart) -> bool:
    """Whether it can be held, owned and written as it is."""
    return (
        _TRACE_ID.fullmatch(part.trace_id) is not None
        and 1 <= len(part.spans) <= MAX_SPANS + 1
        and 0 <= part.cut <= MAX_CUT
        and _is_text(part.service, MAX_SERVICE_CHARS)
        and (part.tenant is None or _is_tenant(part.tenant))
        and all(_is_sound_span(span) for span in part.spans)
    )


def _is_sound_span(span: Span) -> bool:
    return (
        _SPAN_ID.fullmatch(span.id) is not None
        and all(
            optional is None or _SPAN_ID.fullmatch(optional) is not None
            for optional in (span.parent, span.fingerprint)
        )
        and _is_text(span.name, MAX_NAME_CHARS)
        and _is_text(span.code or "", MAX_CODE_CHARS)
        and 0 <= span.began_ns <= MAX_BEGAN_NS
        and 0 <= span.took_ns <= MAX_TOOK_NS
    )


def _is_text(text: str, limit: int) -> bool:
    return len(text) <= limit and "\x00" not in text


def _is_tenant(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
