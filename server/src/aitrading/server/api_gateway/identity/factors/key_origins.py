"""Where security keys work: on our own page, under a name of this installation.

A browser ties a key to a name and shows it to no other page; that is what a phishing page cannot get
around. An IP address is no such name.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from aitrading.server.api_gateway.identity.factors.errors import KEYS_NOT_HERE
from aitrading.server.kit.call import Call


@dataclass(frozen=True, kw_only=True)
class KeyOrigin:
    """A page that may ask a key: its origin, and the name that the key is for."""

    origin: str
    host: str


class KeyOrigins:
    """Judges from where a request comes."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self._names = frozenset(host.lower() for host in hosts if not _is_address(host))

    def of(self, call: Call) -> KeyOrigin:
        """The page that asks; raises `KEYS_NOT_HERE` or `ORIGIN_REFUSED`."""
        origin, host = call.header("origin"), self.name_of(call)
        if origin is None or host is None:
            raise KEYS_NOT_HERE.error()
        call.require_same_origin()
        return KeyOrigin(origin=origin, host=host)

    def name_of(self, call: Call) -> str | None:
        """The name that the installation was called by, if keys can be for it."""
        try:
            name = urlsplit(f"//{call.header('host') or ''}").hostname
        except ValueError:
            return None
        return name if name in self._names else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
