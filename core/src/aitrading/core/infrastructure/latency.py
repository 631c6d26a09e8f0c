"""Latencies in logarithmic buckets: small, and exact to merge across processes.

A bucket is an eighth of a power of two wide, so a quantile is off by at most 6.25 %.
"""

from collections.abc import Mapping
from typing import Final

Buckets = dict[int, int]
"""How many latencies fell into each bucket."""

_STEPS_BITS: Final = 3
_STEPS: Final = 1 << _STEPS_BITS
MAX_LATENCY_NS: Final = 1 << 62


def bucket_of(latency_ns: int) -> int:
    """The bucket of a latency; negative ones (clocks of two machines) count as zero."""
    value = min(max(latency_ns, 0), MAX_LATENCY_NS)
    if value < _STEPS:
        return value
    exponent = value.bit_length() - 1 - _STEPS_BITS
    return (exponent << _STEPS_BITS) + (value >> exponent)


def middle_of(bucket: int) -> int:
    """The latency in the middle of a bucket, in nanoseconds."""
    if bucket < _STEPS:
        return bucket
    exponent = (bucket >> _STEPS_BITS) - 1
    lowest = (bucket - (exponent << _STEPS_BITS)) << exponent
    return lowest + (1 << exponent) // 2


def add(into: Buckets, other: Mapping[int, int]) -> None:
    """Merge counts."""
    for bucket, count in other.items():
        into[bucket] = into.get(bucket, 0) + count


def quantile(buckets: Mapping[int, int], share: float) -> int:
    """The latency that this share of the measurements does not exceed; 0 without any."""
    total = sum(buckets.values())
    rank = share * total
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return middle_of(bucket)
    return 0
