"""Which trace a request belongs to, for what the edge answers itself and for its record alike.

What was sent on, or came with a trace, bears it in `traceparent`. What is refused before it was sent
on begins a trace of its own, named by the request's id: Envoy tells an answer of its own neither
the trace it would have begun nor a way to choose one.
"""

from typing import Final

_TRACEPARENT: Final = "request.headers['traceparent']"
_REQUEST_ID: Final = "request.headers['x-request-id']"
_OF_TRACE: Final = rf"re.extract({_TRACEPARENT}, '^00-([0-9a-f]*)-', '\\1')"
_OF_REQUEST: Final = rf"re.extract({_REQUEST_ID}, '^(.*)-(.*)-(.*)-(.*)-(.*)$', '\\1\\2\\3\\4\\5')"
TRACE_ID: Final = (
    f"%CEL('traceparent' in request.headers ? {_OF_TRACE} : "
    f"('x-request-id' in request.headers ? {_OF_REQUEST} : ''))%"
)
"""Empty for what is refused before it has an id; never `null`, which is no text."""
