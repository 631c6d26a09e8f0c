"""From which networks a token counts: the claim `nets`, packed so that a long list stays short.

A network is one byte and as many bytes of its address as the prefix fills: 0 to 32 is the prefix
length of an IPv4 network, 33 to 161 that of an IPv6 one, 33 added.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from aitrading.core.security.encoding import base64url_decode, base64url_encode

Network = IPv4Network | IPv6Network
MAX_PACKED_BYTES: Final = 1_024
"""A token with such a list still fits into a browser's cookie: 100 of IPv4, 60 hosts of IPv6."""
_V4_BITS: Final = 32
_V6_BITS: Final = 128
_V6_FROM: Final = _V4_BITS + 1
_BYTE_BITS: Final = 8


def packed_bytes(networks: Iterable[Network]) -> bytes:
    """The networks as the claim has them before it is spelled."""
    return b"".join(map(_packed, networks))


def network_claim(networks: Iterable[Network]) -> str:
    """The claim; empty for no list, which is everywhere."""
    return base64url_encode(packed_bytes(networks))


class AdmittedNetworks:
    """The networks of a token, ready to be asked at every request."""

    __slots__ = ("_prefixes",)

    def __init__(self, claim: str) -> None:
        """Raises `ValueError` for what `network_claim` never writes."""
        raw = base64url_decode(claim)
        if not 0 < len(raw) <= MAX_PACKED_BYTES:
            raise ValueError("not a list of networks")
        prefixes: dict[tuple[int, int], set[int]] = {}
        while raw:
            bits, length = (
                (_V4_BITS, raw[0]) if raw[0] < _V6_FROM else (_V6_BITS, raw[0] - _V6_FROM)
            )
            end = 1 + _filled(length)
            if length > bits or len(raw) < end:
                raise ValueError("not a network")
            spare = _filled(length) * _BYTE_BITS - length
            prefix = int.from_bytes(raw[1:end]) >> spare
            prefixes.setdefault((bits, bits - length), set()).add(prefix)
            raw = raw[end:]
        self._prefixes = tuple((bits, shift, known) for (bits, shift), known in prefixes.items())

    def admit(self, address: str) -> bool:
        """Whether the address is in one of them; what is no address is in none."""
        known = address_of(address)
        if known is None:
            return False
        bits, value = known.max_prefixlen, int(known)
        return any(
            bits == own and value >> shift in prefixes for own, shift, prefixes in self._prefixes
        )


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """The address, an IPv4 one in its own spelling; None for none."""
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def _packed(network: Network) -> bytes:
    length = network.prefixlen
    first = length if isinstance(network, IPv4Network) else _V6_FROM + length
    return bytes((first,)) + network.network_address.packed[: _filled(length)]


def _filled(length: int) -> int:
    return (length + _BYTE_BITS - 1) // _BYTE_BITS
