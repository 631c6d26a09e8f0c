"""From where, and with what, the people of an organisation log in."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from typing import Annotated, ClassVar, Final

from aitrading.core.infrastructure.config_manager import Setting
from aitrading.core.security.network_claim import MAX_PACKED_BYTES, Network, packed_bytes

MAX_NETWORKS: Final = 100
ALL, ADMINS, NOBODY = "all", "admins", "nobody"
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_BETWEEN: Final = re.compile(r"[\s,;]+")


@dataclass(frozen=True, kw_only=True)
class LoginSettings:
    """What a login must fulfil besides being right."""

    SECTION: ClassVar[str] = "login"

    networks: Annotated[
        str,
        Setting(
            doc="Networks from which people and programs log in, and from which their tokens count: "
            "CIDR of IPv4 and IPv6, separated by commas or spaces. Empty: everywhere.",
            tenant=True,
            reloadable=True,
        ),
    ] = ""
    second_factor: Annotated[
        str,
        Setting(
            doc="Who needs a second factor: `all`, `admins` (whose role administers) or `nobody`. "
            "Who has none yet logs in to set one up, and to engage the kill switch, and for "
            "nothing else.",
            choices=(ALL, ADMINS, NOBODY),
            tenant=True,
            reloadable=True,
        ),
    ] = NOBODY
    first_password_h: Annotated[
        int,
        Setting(
            doc="How long a password counts that the host made, for a new person or for who forgot "
            "theirs. Whoever logs in sets one of their own, which has no end.",
            unit="h",
            minimum=1,
            maximum=8_760,
            tenant=True,
            reloadable=True,
        ),
    ] = 72

    def problems(self) -> list[str]:
        """Networks that are none."""
        try:
            parsed_networks(self.networks)
        except ValueError as exc:
            return [str(exc)]
        return []


def parsed_networks(text: str) -> tuple[Network, ...]:
    """The networks of a list; raises `ValueError` with what is wrong."""
    words = [word for word in _BETWEEN.split(text) if word]
    if len(words) > MAX_NETWORKS:
        raise ValueError(f"{len(words)} networks are too many: at most {MAX_NETWORKS}")
    networks = tuple(map(_parsed, words))
    if (size := len(packed_bytes(networks))) > MAX_PACKED_BYTES:
        raise ValueError(
            f"these networks take {size} bytes of every token: at most {MAX_PACKED_BYTES}, so name "
            "shorter prefixes of IPv6"
        )
    return networks


def admits(networks: tuple[Network, ...], address: IPv4Address | IPv6Address | None) -> bool:
    """Whether an address is in one of them; without any every address is, known or not."""
    return not networks or (
        address is not None and any(address in network for network in networks)
    )


def _parsed(word: str) -> Network:
    try:
        network = ip_network(word)
    except ValueError as exc:
        shown = word[:64]
        raise ValueError(
            f"`{shown}` is no network; write it like 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7, "
            "with nothing but zeros after the prefix"
        ) from exc
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError(f"`{word}` is IPv4 inside IPv6; write it as IPv4")
    return network
