"""`RateLimit` and `RateLimit-Policy`: structured fields of the IETF draft on rate limit headers.

`q` of them are allowed in `w` seconds, about `r` are left, after `t` seconds there are all again.
"""

import math
from typing import Final

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.rate_limiter import RATE_LIMIT_EXCEEDED
from aitrading.server.kit.rate_limits import WINDOW_S, Standing

RATE_LIMIT: Final = "ratelimit"
RATE_LIMIT_POLICY: Final = "ratelimit-policy"


def rate_headers(standing: Standing | None) -> list[tuple[bytes, bytes]]:
    """Of an answer: how far its caller is from the limit."""
    if standing is None:
        return []
    now = f'"{standing.level}";r={standing.left};t={standing.restored_s}'
    return [
        (RATE_LIMIT.encode(), now.encode()),
        (RATE_LIMIT_POLICY.encode(), _policy(standing.level, standing.per_minute).encode()),
    ]


def refused_headers(error: AitradingError) -> dict[str, str]:
    """Of a refusal: which level refused, and when it has room again."""
    if error.spec is not RATE_LIMIT_EXCEEDED:
        return {}
    level, wait_s = str(error.fields["level"]), float(str(error.fields["retry_after_s"]))
    return {
        RATE_LIMIT: f'"{level}";r=0;t={max(1, math.ceil(wait_s))}',
        RATE_LIMIT_POLICY: _policy(level, int(str(error.fields["limit"]))),
    }


def _policy(level: str, per_minute: int) -> str:
    return f'"{level}";q={per_minute};w={WINDOW_S}'
