"""A list of networks in a token: whoever is in the list is admitted, and nobody else."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.security.encoding import base64url_encode
from aitrading.core.security.network_claim import (
    MAX_PACKED_BYTES,
    AdmittedNetworks,
    Network,
    network_claim,
    packed_bytes,
)

V4 = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32), st.just(32))
V6 = st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128), st.just(128))


def network(parts: tuple[int, int, int]) -> Network:
    value, length, bits = parts
    return ip_network((value.to_bytes(bits // 8), length), strict=False)


@given(st.lists(V4 | V6, min_size=1, max_size=20), V4 | V6)
def test_an_address_is_admitted_exactly_where_one_of_the_networks_has_it(
    listed: list[tuple[int, int, int]], asked: tuple[int, int, int]
) -> None:
    networks = [network(each) for each in listed]
    admitted = AdmittedNetworks(network_claim(networks))
    ends = [end for each in networks for end in (each.network_address, each.broadcast_address)]
    for address in (*ends, network((asked[0], asked[2], asked[2])).network_address):
        if getattr(address, "ipv4_mapped", None) is None:  # those are IPv4, see below
            assert admitted.admit(str(address)) is any(address in each for each in networks)


def test_an_ipv4_address_in_the_spelling_of_ipv6_is_the_same_and_nonsense_is_outside() -> None:
    admitted = AdmittedNetworks(network_claim([ip_network("10.0.0.0/8")]))
    assert admitted.admit("::ffff:10.1.1.1")
    for other in ("::ffff:11.1.1.1", "::a01:101", "10.1.1", "unknown", "10.1.1.1:80", ""):
        assert not admitted.admit(other)


@pytest.mark.parametrize(
    "raw", [b"", b"\x08", b"\xa2" + bytes(17), b"\x21\x08", b"\x18\x0a\x00", bytes(1_025)]
)
def test_what_nobody_wrote_is_no_list(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not"):
        AdmittedNetworks(base64url_encode(raw))


def test_a_hundred_hosts_of_ipv4_and_sixty_of_ipv6_have_room() -> None:
    old = [ip_network(f"10.0.{n}.1/32") for n in range(100)]
    new = [ip_network(f"2001:db8::{n:x}/128") for n in range(1, 61)]
    assert len(packed_bytes(old)) == 500
    assert len(packed_bytes(new)) <= MAX_PACKED_BYTES < 17 * 61
