"""Failed logins cost time: each one doubles the wait for this account from this network.

Nothing is ever locked, so nobody can lock another person out. Unknown accounts are throttled like
known ones. The memory is bounded; the least recently failed keys are forgotten first.

A guess that is being checked counts as a failure until it is known to be none: of guesses sent at
once no more are checked than of guesses sent one after the other. The rest wait for the verdicts.
"""

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.server.api_gateway.identity.errors import LOGIN_THROTTLED

FREE_FAILURES: Final = 5
MAX_WAIT_S: Final = 60
FORGET_AFTER_S: Final = 15 * 60
MAX_KEYS: Final = 10_000
IPV4_NETWORK_BITS: Final = 24
IPV6_NETWORK_BITS: Final = 48
MAX_WAITING: Final = 64
"""Guesses of one account from one network that wait for the verdict on those before them."""
FULL_RETRY_S: Final = 1
Key = tuple[bytes, str]


@dataclass(kw_only=True)
class _Guesses:
    """Those of one account from one network that have no verdict yet."""

    running: int = 0
    waiting: int = 0
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with the next verdict, and replaced then."""


class LoginThrottle:
    """Counts failures by (account, network)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[Key, tuple[int, int]] = OrderedDict()
        self._guesses: dict[Key, _Guesses] = {}

    @asynccontextmanager
    async def guess(self, account: bytes, address: str) -> AsyncGenerator[None]:
        """Hold the place of a guess while it is checked; the body tells `failed` or `succeeded`.

        Waits while the guesses that are being checked could use up what is free, at least for one.
        Raises `LOGIN_THROTTLED` while a wait runs, or when too many wait already. A guess that ends
        without a verdict (an outage, a caller who left) gives its place back and counts nowhere.
        """
        key = _key(account, address)
        guesses = self._guesses.setdefault(key, _Guesses())
        try:
            await self._enter(guesses, account, address)
            try:
                yield
            finally:
                guesses.running -= 1
                guesses.settled.set()
                guesses.settled = asyncio.Event()
        finally:
            if not guesses.running and not guesses.waiting:
                self._guesses.pop(key, None)

    async def _enter(self, guesses: _Guesses, account: bytes, address: str) -> None:
        self.check(account, address)
        while guesses.running >= self._places(account, address):
            if guesses.waiting >= MAX_WAITING:
                raise LOGIN_THROTTLED.error(retry_after_s=FULL_RETRY_S)
            guesses.waiting += 1
            try:
                await guesses.settled.wait()
            finally:
                guesses.waiting -= 1
            self.check(account, address)
        guesses.running += 1

    def _places(self, account: bytes, address: str) -> int:
        failures, _ = self._failures.get(_key(account, address), (0, 0))
        return max(1, FREE_FAILURES - failures)

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
    """The network that shares a fate: /24 or /48; empty for no address.

    An IPv4 address in the spelling of IPv6 is in its own network, not in one with all others.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    bits = IPV4_NETWORK_BITS if parsed.version == 4 else IPV6_NETWORK_BITS  # noqa: PLR2004
    return str(ipaddress.ip_network((parsed, bits), strict=False))
