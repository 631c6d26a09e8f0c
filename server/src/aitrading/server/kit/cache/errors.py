"""What the cache refuses; failures of the connection are declared in `kit/valkey.py`."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

CACHE_NAME_INVALID: Final = ErrorSpec(
    code="CACHE_NAME_INVALID",
    category=Category.DENIED,
    message="A cache entry's name has {size_bytes} bytes; 1 to {limit_bytes} are allowed.",
    why="A name from outside was used without looking at its length.",
    remedy="Ask for a shorter name.",
    http_status=422,
    severity=Severity.WARNING,
)
CACHE_VALUE_TOO_LARGE: Final = ErrorSpec(
    code="CACHE_VALUE_TOO_LARGE",
    category=Category.DENIED,
    message="A cache value has {size_bytes} bytes; {limit_bytes} are allowed.",
    why="Large answers belong into a store, not into the memory of the cache.",
    remedy="Keep a smaller value, or a reference to the store.",
    http_status=422,
    severity=Severity.WARNING,
)
CACHE_ARGUMENT_INVALID: Final = ErrorSpec(
    code="CACHE_ARGUMENT_INVALID",
    category=Category.DENIED,
    message="The cache cannot take {argument} = {actual}: {expected} is expected.",
    why="A life, an amount or a score is outside of what every kind of cache can represent.",
    remedy="Report it: a caller let a value through that it should have refused.",
    http_status=422,
    severity=Severity.WARNING,
)
