"""Call sites: each place where the platform recovers from a fault, declared as a constant.

The table of call sites in the documentation is generated from these constants, and every one of
them has a test that makes the fault happen.
"""

from enum import StrEnum

import msgspec


class RecoveryStrategy(StrEnum):
    """What is done about a fault."""

    RETRY = "retry"
    RECONNECT = "reconnect"
    DEGRADE = "degrade"
    ISOLATE = "isolate"
    HALT = "halt"


class Guard(StrEnum):
    """What keeps a fault from spreading."""

    BREAKER = "breaker"
    BULKHEAD = "bulkhead"
    FALLBACK = "fallback"


class CallSite(msgspec.Struct, frozen=True, kw_only=True):
    """One place: `name` is unique in the platform and appears in health and metrics.

    `fault` says what can happen there, `description` what is done about it and what a user
    notices; a site that halts names the `capability` that is lost.
    """

    name: str
    strategy: RecoveryStrategy | Guard
    service: str
    description: str
    fault: str = ""
    capability: str = ""
