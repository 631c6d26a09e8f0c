"""How many authenticated quotes a second edge and service answer together.

The client is a counter: it writes ready-made requests and counts heads in what comes back, so that
it costs little beside what is measured. Sixteen people ask over 32 connections, each with a few
requests on their way; the limiter counts every one of them, with limits that are not reached.
"""

import asyncio
import ssl
from typing import Final, cast

from typing_extensions import override

from aitrading.core.kit.clock import NS_PER_S
from aitrading.server.benchmarks.installation import Installation, running_installation
from aitrading.server.testing.probe_device import declared, ticks

PATH: Final = "/api/v1/quotes"
PEOPLE: Final = 16
CONNECTIONS: Final = 32
ON_THEIR_WAY: Final = 4
WARM_S: Final = 1.0
SECONDS: Final = 5.0
UNREACHED: Final = "10000000"
SETTINGS: Final = {
    "gateway.requests_burst": "1000000",
    "gateway.requests_per_minute": UNREACHED,
    "limits.user_per_minute": UNREACHED,
    "limits.tenant_per_minute": UNREACHED,
}
_GOOD: Final = b"HTTP/1.1 200 "
_HEAD: Final = b"HTTP/1.1 "
_KEPT: Final = len(_GOOD) - 1


class _Asker(asyncio.Protocol):
    """One connection that always has some requests on their way."""

    def __init__(self, request: bytes) -> None:
        self.good = self.bad = 0
        self._request = request
        self._rest = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request * ON_THEIR_WAY)

    @override
    def data_received(self, data: bytes) -> None:
        seen = self._rest + data
        self._rest = seen[-_KEPT:]
        good, heads = seen.count(_GOOD), seen.count(_HEAD)
        if self._rest.find(_HEAD) >= 0:  # cut in its first line: counted with what follows
            whole = self._rest.count(_GOOD)
            good, heads = good - whole, heads - self._rest.count(_HEAD)
        self.good += good
        self.bad += heads - good
        self.transport.write(self._request * heads)


async def quotes_per_s() -> float:
    """Answers a second; raises when one is not good."""
    with running_installation(SETTINGS) as installation:
        enrolled = await asyncio.to_thread(installation.device, "feed")
        device = await installation.connected(enrolled, declared())
        device.send(ticks(1))
        await device.until_acknowledged(1)
        askers = [await _asking(installation, number) for number in range(CONNECTIONS)]
        await asyncio.sleep(WARM_S)
        clock, before = installation.clock, sum(asker.good for asker in askers)
        began_ns = clock.monotonic_ns()
        await asyncio.sleep(SECONDS)
        answers = sum(asker.good for asker in askers) - before
        took_s = (clock.monotonic_ns() - began_ns) / NS_PER_S
        for asker in askers:
            asker.transport.abort()
        device.cut()
    if bad := sum(asker.bad for asker in askers):
        raise RuntimeError(f"{bad} requests were refused")
    return answers / took_s


async def _asking(installation: Installation, number: int) -> _Asker:
    trust = ssl.create_default_context(cafile=str(installation.trust))
    token = installation.token(number % PEOPLE)
    head = f"GET {PATH} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
    loop = asyncio.get_running_loop()
    _, asker = await loop.create_connection(
        lambda: _Asker(head.encode()),
        "127.0.0.1",
        installation.port,
        ssl=trust,
        server_hostname="localhost",
    )
    return asker
