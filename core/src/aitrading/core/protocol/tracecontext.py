"""W3C trace context: the one id that follows a tick or a request all the way."""

import re
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from aitrading.core.kit.ids import IdFactory

TRACEPARENT: Final = "traceparent"
SAMPLED_FLAG: Final = 0x01
FOLLOWED_ONE_IN: Final = 256
_FORMAT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?",
    re.ASCII,
)
_TRACEPARENT_CHARS_MAX: Final = 256
_FORBIDDEN_VERSION: Final = "ff"


def is_followed(trace_id: bytes) -> bool:
    """Whether every process logs what it does with this batch of ticks.

    One in `FOLLOWED_ONE_IN`, by the id alone: all processes agree without a word.
    """
    return trace_id[-1] == 0 and any(trace_id)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where in which trace we are; ids are lower-case hexadecimal, never all zero."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @classmethod
    def start(cls, ids: IdFactory) -> "TraceContext":
        """Begin a new trace."""
        return cls(ids.trace_id(), ids.span_id())

    @classmethod
    def parse(cls, header: str | None) -> "TraceContext | None":
        """Read a `traceparent` header as the W3C recommends: anything malformed is None."""
        if header is None or len(header) > _TRACEPARENT_CHARS_MAX:
            return None
        match = _FORMAT.fullmatch(header.strip(" \t"))
        if match is None or match["version"] == _FORBIDDEN_VERSION:
            return None
        if match["version"] == "00" and match["rest"] is not None:
            return None
        if not int(match["trace"], 16) or not int(match["span"], 16):
            return None
        return cls(match["trace"], match["span"], bool(int(match["flags"], 16) & SAMPLED_FLAG))

    @classmethod
    def of_bytes(cls, trace_id: bytes, span_id: bytes) -> "TraceContext | None":
        """Read the binary form of frames and records; an id of zeros means there is none."""
        if not any(trace_id) or not any(span_id):
            return None
        return cls(trace_id.hex(), span_id.hex())

    def child(self, ids: IdFactory) -> "TraceContext":
        """The same trace, a new span."""
        return TraceContext(self.trace_id, ids.span_id(), self.sampled)

    def to_bytes(self) -> tuple[bytes, bytes]:
        """Trace id (16 bytes) and span id (8 bytes) as frames and records carry them."""
        return bytes.fromhex(self.trace_id), bytes.fromhex(self.span_id)

    @override
    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"
