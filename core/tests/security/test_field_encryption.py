"""Sealed values: only at their place, only with their key, found without being read."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto_fields import FieldKey, derived_key, keyed_digest
from aitrading.core.security.field_encryption import MasterKeys, SealedField, TenantFields

NAME = SealedField(table="s.people", column="name")
PLACES = (
    NAME,
    SealedField(table="s.people", column="nickname"),
    SealedField(table="s.peoplen", column="ame"),  # the same letters, cut elsewhere
)
TENANTS = [TenantId(UUID(int=number)) for number in (1, 2)]
ROWS = [UUID(int=number) for number in (7, 8)]
KEYS = [Secret(bytes([number]) * 32) for number in (1, 2)]


def code(act: object) -> str:
    with pytest.raises(AitradingError) as caught:
        act()  # type: ignore[operator]
    return caught.value.code


@given(st.text())
def test_it_opens_at_its_place_and_nowhere_else(value: str) -> None:
    sealed = TenantFields(TENANTS[0], KEYS[0]).seal(NAME, ROWS[0], value)
    for key in KEYS:
        for tenant in TENANTS:
            fields = TenantFields(tenant, key)
            for field in PLACES:
                for row in ROWS:
                    if (key, tenant, field, row) == (KEYS[0], TENANTS[0], NAME, ROWS[0]):
                        assert fields.open(field, row, sealed) == value
                    else:
                        assert code(lambda: fields.open(field, row, sealed)) == "FIELD_UNREADABLE"  # noqa: B023


@given(st.binary(max_size=64))
def test_no_other_bytes_open(forged: bytes) -> None:
    fields = TenantFields(TENANTS[0], KEYS[0])
    assert code(lambda: fields.open(NAME, ROWS[0], forged)) == "FIELD_UNREADABLE"


def test_every_bit_counts() -> None:
    fields = TenantFields(TENANTS[0], KEYS[0])
    sealed = fields.seal(NAME, ROWS[0], "anna")
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        assert code(lambda: fields.open(NAME, ROWS[0], bytes(changed))) == "FIELD_UNREADABLE"  # noqa: B023
    for length in range(len(sealed)):
        assert code(lambda: fields.open(NAME, ROWS[0], sealed[:length])) == "FIELD_UNREADABLE"  # noqa: B023


def test_equal_values_never_look_alike() -> None:
    fields = TenantFields(TENANTS[0], KEYS[0])
    seen = {fields.seal(NAME, row, "anna") for row in ROWS for _ in range(50)}
    assert len(seen) == 100


def test_an_index_finds_within_one_column_of_one_organisation() -> None:
    fields = TenantFields(TENANTS[0], KEYS[0])
    assert fields.index(NAME, "anna") == TenantFields(TENANTS[0], KEYS[0]).index(NAME, "anna")
    others = {
        TenantFields(TENANTS[1], KEYS[1]).index(NAME, "anna"),
        *(fields.index(field, "anna") for field in PLACES[1:]),
        fields.index(NAME, "annb"),
        fields.index(NAME, "an", "na"),
        fields.index(NAME, "ann", "a"),
    }
    assert len(others | {fields.index(NAME, "anna")}) == 7


def test_a_master_key_wraps_for_one_organisation() -> None:
    first = MasterKeys({1: KEYS[0]})
    both = MasterKeys({1: KEYS[0], 2: KEYS[1]})
    number, wrapped = first.wrap(TENANTS[0], KEYS[1])
    assert (number, len(wrapped)) == (1, 60)
    assert both.unwrap(TENANTS[0], 1, wrapped) == KEYS[1]
    assert both.wrap(TENANTS[0], KEYS[1])[0] == 2
    assert code(lambda: both.unwrap(TENANTS[1], 1, wrapped)) == "FIELD_KEY_UNREADABLE"
    assert code(lambda: both.unwrap(TENANTS[0], 2, wrapped)) == "FIELD_KEY_UNREADABLE"
    assert code(lambda: both.unwrap(TENANTS[0], 3, wrapped)) == "FIELD_MASTER_MISSING"


def test_the_primitives_are_the_standard_ones() -> None:
    """NIST's GCM test case 16 (256-bit key), RFC 5869's and RFC 4231's first vectors."""
    key = Secret(bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2))
    bound_to = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    sealed = bytes.fromhex(
        "cafebabefacedbaddecaf888522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
    )
    plain = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e24"
        "49a6b525b16aedf5aa0de657ba637b39"
    )
    assert FieldKey(key).open(sealed, bound_to=bound_to) == plain
    pseudorandom = "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    expanded = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    derived = derived_key(
        Secret(bytes.fromhex(pseudorandom)), purpose=bytes.fromhex("f0f1f2f3f4f5f6f7f8f9")
    )
    assert derived.reveal().hex() == expanded
    digest = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    assert keyed_digest(Secret(b"\x0b" * 20), b"Hi There").hex() == digest
