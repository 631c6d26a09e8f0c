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
    why="PostgreSQL, or the server of ARANGODB_URL, is stopped, cut off or out of resources.",
    remedy="`aitrading doctor --databases` asks it step by step; chains are measured meanwhile.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.VISIBILITY,
)
GRAPH_REJECTED: Final = ErrorSpec(
    code="GRAPH_REJECTED",
    category=Category.FATAL,
    message="The store of the chains' graph refuses: {reason}.",
    why="The login in ARANGODB_URL is not accepted, its database is missing, or the server's "
    "version answers otherwise than documented.",
    remedy="Create the database and a user who may create collections in it, and name both: "
    "https://USER:$PASSWORD@host:8529/DATABASE. Chains are measured meanwhile.",
    http_status=503,
    severity=Severity.ERROR,
    impact=Impact.VISIBILITY,
)
