"""Failed logins cost time: each one doubles the wait for this account from this network.

Nothing is ever locked, so nobody can lock another person out. Unknown accounts are throttled like
known ones. The memory is bounded; the least recently failed keys are forgotten first.
"""

import ipaddress
from collections import OrderedDict
from typing import Final

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.server.api_gateway.identity.errors import LOGIN_THROTTLED

FREE_FAILURES: Final = 5
MAX_WAIT_S: Final = 60
FORGET_AFTER_S: Final = 15 * 60
MAX_KEYS: Final = 10_000
IPV4_NETWORK_BITS: Final = 24
IPV6_NETWORK_BITS: Final = 48
Key = tuple[bytes, str]


class LoginThrottle:
    """Counts failures by (account, network)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[Key, tuple[int, int]] = OrderedDict()

    def check(self, account: bytes, address: str) -> None:
        """Raise `LOGIN_THROTTLED` while a wait runs."""
        failures, last_ns = self._failures.get(_key(account, address), (0, 0))
        elapsed_s = (self._clock.monotonic_ns() - last_ns) / NS_PER_S
        remaining_s = wait_s(failures) - elapsed_s
        if failures and remaining_s > 0:
            raise LOGIN_THROTTLED.error(retry_after_s=max(1, round(remaining_s)))

    def failed(self, account: bytes, address: str) -> None:
        """Count a failure."""
        key = _key(account, address)
        now_ns = self._clock.monotonic_ns()
        failures, last_ns = self._failures.pop(key, (0, now_ns))
        if now_ns - last_ns > FORGET_AFTER_S * NS_PER_S:
            failures = 0
        self._failures[key] = (failures + 1, now_ns)
        if len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, account: bytes, address: str) -> None:
        """Forget the failures of this account from this network."""
        self._failures.pop(_key(account, address), None)


def wait_s(failures: int) -> int:
    """Nothing for the first failures, then 1, 2, 4, … seconds up to the limit."""
    over = failures - FREE_FAILURES
    return min(1 << min(over, MAX_WAIT_S.bit_length()), MAX_WAIT_S) if over >= 0 else 0


def _key(account: bytes, address: str) -> Key:
    return account, network_of(address)


def network_of(address: str) -> str:
    """The network that shares a fate: /24 or /48; empty for no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    bits = IPV4_NETWORK_BITS if parsed.version == 4 else IPV6_NETWORK_BITS  # noqa: PLR2004
    return str(ipaddress.ip_network((parsed, bits), strict=False))
