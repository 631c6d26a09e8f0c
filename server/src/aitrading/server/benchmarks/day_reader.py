"""What a person reads of a day: its last tick, and the certificate of its completeness."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec

from aitrading.server.benchmarks.installation import Installation


class _Tick(msgspec.Struct):
    sequence: int


class _Page(msgspec.Struct):
    items: list[_Tick]


class _Stream(msgspec.Struct):
    digest_stored: str
    digest_counted: str | None


class Certificate(msgspec.Struct):
    """As much of it as a benchmark needs."""

    stored: int
    counted: int
    streams: list[_Stream]

    @property
    def agrees(self) -> bool:
        """What is stored is what the device counted, to the last digit."""
        return self.stored == self.counted and all(
            stream.digest_stored == stream.digest_counted for stream in self.streams
        )


class _Signed(msgspec.Struct):
    certificate: Certificate


@dataclass(frozen=True, kw_only=True)
class DayReader:
    """Asks through the edge for what is stored of one day."""

    installation: Installation
    day: date

    def has_tick_from(self, symbol: str, day_ms: int) -> bool:
        """Whether a tick at this moment of the day, or after it, can be read."""
        since = datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)
        since += timedelta(milliseconds=day_ms)
        asked = f"/api/v1/ticks?symbol={symbol}&from={since:%Y-%m-%dT%H:%M:%S.%fZ}&limit=1"
        page = self.installation.get(asked, _Page)
        return page is not None and bool(page.items)

    def certificate(self, symbol: str) -> Certificate | None:
        """What is stored of the day, against what the device counted."""
        signed = self.installation.get(
            f"/api/v1/feeds/certificate?symbol={symbol}&day={self.day}", _Signed
        )
        return signed and signed.certificate
