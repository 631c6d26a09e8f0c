"""What cache operations give."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Spent:
    """A bounded counter after an attempt: the refused attempt changed nothing."""

    accepted: bool
    total: int
    resets_in_s: float


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A lock that is held: whoever acquired it later has a higher fence.

    Every write under the lease names the fence, so that a holder who slept through the end of its
    lease is refused where it matters, at the write.
    """

    name: str
    owner: str
    fence: int


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A member of a sorted set."""

    member: str
    score: float
