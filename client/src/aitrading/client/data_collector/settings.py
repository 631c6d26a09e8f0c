"""Where the data collector's sources are. Decided beside the client, never by the server."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class DataSourcesSettings:
    """Files and addresses of `news` and `economic_calendar`.

    Beside them, `HOME/sources/news.csv` and `HOME/sources/economic_calendar.csv` are read where they
    exist; `.json` and `.ics` as well.
    """

    SECTION: ClassVar[str] = "data_sources"

    news_file: Annotated[
        str, Setting(doc="News as `.csv`, `.json` or `.ics`; read again when it changes.")
    ] = ""
    news_url: Annotated[
        str, Setting(doc="Address of news, of the same three forms; HTTPS, or HTTP on loopback.")
    ] = ""
    calendar_file: Annotated[
        str,
        Setting(doc="Economic calendar as `.csv`, `.json` or `.ics`; read again when it changes."),
    ] = ""
    calendar_url: Annotated[str, Setting(doc="Address of the economic calendar.")] = ""
    allowed_hosts: Annotated[
        tuple[str, ...],
        Setting(doc="Hosts that may be asked, as `host` or `host:port`; nobody else ever is."),
    ] = ()
    timeout_s: Annotated[
        int,
        Setting(
            doc="Longest time for one answer, from the first byte asked to the last one read.",
            unit="s",
            minimum=1,
            maximum=120,
        ),
    ] = 15
    limit_kb: Annotated[
        int,
        Setting(doc="Largest file or answer that is read.", unit="KB", minimum=1, maximum=16_384),
    ] = 1_024

    def problems(self) -> Iterable[str]:
        """Addresses that would never be asked."""
        for name in ("news_url", "calendar_url"):
            if problem := address_problem(getattr(self, name), self.allowed_hosts):
                yield f"data_sources.{name}: {problem}"


def address_problem(url: str, allowed: tuple[str, ...]) -> str | None:
    """Why an address may not be asked; None when it may, or when there is none."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "this is no address"
    host = parts.hostname or ""
    is_plain = all("!" <= letter <= "~" for letter in url)
    is_known = parts.scheme in ("http", "https") and not parts.username and not parts.fragment
    if not (is_plain and is_known and host):
        return "an address looks like https://host/path, in ASCII and without spaces"
    if parts.scheme == "http" and host not in ("127.0.0.1", "::1", "localhost"):
        return "only HTTPS leaves this machine"
    if host not in allowed and f"{host}:{port}" not in allowed:
        return f"{host} is not among data_sources.allowed_hosts"
    return None
