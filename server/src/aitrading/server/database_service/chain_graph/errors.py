"""What the chains' graph refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

CHAIN_PART_UNKNOWN: Final = ErrorSpec(
    code="CHAIN_PART_UNKNOWN",
    category=Category.DENIED,
    message="No chain uses {part}; known are: {known}.",
    why="The name is misspelt, or no chain depends on it.",
    remedy="Name a service, an engine, or a hop as `chain/hop`.",
    http_status=404,
    severity=Severity.DEBUG,
)
CHAIN_DEFINITION_REFUSED: Final = ErrorSpec(
    code="CHAIN_DEFINITION_REFUSED",
    category=Category.DENIED,
    message="The chain {chain} cannot be kept: {reason}.",
    why="A chain's hops have different names, and take their data from hops of the same chain.",
    remedy="Correct the definition; chains of this release itself cannot be replaced or deleted.",
    http_status=422,
    severity=Severity.INFO,
)
GRAPH_UNAVAILABLE: Final = ErrorSpec(
    code="GRAPH_UNAVAILABLE",
    category=Category.RETRYABLE,
    message="The store of the chains' graph does not answer: {reason}.",
    why="PostgreSQL, which keeps the graph, is stopped or out of resources.",
    remedy="Look at `aitrading status`; chains are measured meanwhile.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.VISIBILITY,
)
