"""The enrolment code: copied by people, trusted before anything secret is sent."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import (
    Issuer,
    LeafSpec,
    Purpose,
    TlsKey,
    Validity,
    create_ca,
    inspect_certificate,
    issue_leaf,
)
from aitrading.core.security.encoding import base64url_encode
from aitrading.core.security.enrolment import (
    EnrolmentCode,
    parse_enrolment_code,
    require_pinned_ca,
)
from aitrading.core.security.renewal import renewal_message, signed_by

VALIDITY = Validity(not_before_ns=0, not_after_ns=2_000_000_000 * NS_PER_S)


def code_for(ca_pem: bytes) -> EnrolmentCode:
    return EnrolmentCode(
        tenant=TenantId(UUID(int=5)),
        secret=Secret(bytes(range(32))),
        ca_sha256=bytes.fromhex(inspect_certificate(ca_pem).fingerprint),
    )


def authority() -> Issuer:
    key = TlsKey.generate()
    return Issuer(
        certificate_pem=create_ca(key, common_name="edge", serial=1, validity=VALIDITY), key=key
    )


@given(st.uuids(), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_code_survives_being_copied(tenant: UUID, secret: bytes, pin: bytes) -> None:
    code = EnrolmentCode(tenant=TenantId(tenant), secret=Secret(secret), ca_sha256=pin)
    assert parse_enrolment_code(f"  {code.text().reveal()}\n") == code


def test_a_code_is_not_printed() -> None:
    code = code_for(authority().certificate_pem)
    assert base64url_encode(bytes(range(32))) not in repr(code)
    assert "***" in repr(code.text())


@given(st.data())
def test_a_code_cut_anywhere_is_recognised(data: st.DataObject) -> None:
    text = CODE_TEXT
    cut = data.draw(st.integers(min_value=0, max_value=len(text) - 1))
    with pytest.raises(AitradingError) as caught:
        parse_enrolment_code(text[:cut])
    assert caught.value.code == "ENROLMENT_CODE_MALFORMED"


CODE_TEXT = code_for(authority().certificate_pem).text().reveal()


@pytest.mark.parametrize(
    "text",
    ["", "ait1", "ait2" + CODE_TEXT[4:], CODE_TEXT + ".x", "é" * 300],
    ids=["nothing", "its head", "another format", "a part too many", "other letters"],
)
def test_nonsense_is_recognised(text: str) -> None:
    with pytest.raises(AitradingError) as caught:
        parse_enrolment_code(text)
    assert caught.value.code == "ENROLMENT_CODE_MALFORMED"


def test_only_the_authority_that_the_code_names_is_trusted() -> None:
    mine, other = authority(), authority()
    code = code_for(mine.certificate_pem)
    require_pinned_ca(mine.certificate_pem, code)
    with pytest.raises(AitradingError) as caught:
        require_pinned_ca(other.certificate_pem, code)
    assert caught.value.code == "SERVER_NOT_TRUSTED"


def test_a_leaf_is_no_authority_even_when_the_code_names_it() -> None:
    spec = LeafSpec(
        common_name="x", serial=2, validity=VALIDITY, purposes=frozenset({Purpose.SERVER})
    )
    leaf = issue_leaf(authority(), spec, TlsKey.generate().public_der())
    with pytest.raises(AitradingError):
        require_pinned_ca(leaf, code_for(leaf))


def test_a_renewal_is_bound_to_device_request_and_moment() -> None:
    key, ids = TlsKey.generate(), {"tenant": UUID(int=1), "device": UUID(int=2)}
    message = renewal_message(**ids, csr_pem=b"csr", issued_ms=5)
    signature = base64url_encode(key.sign(message))
    assert signed_by(key.public_der(), signature, message)
    changed = [
        renewal_message(tenant=UUID(int=9), device=UUID(int=2), csr_pem=b"csr", issued_ms=5),
        renewal_message(tenant=UUID(int=1), device=UUID(int=9), csr_pem=b"csr", issued_ms=5),
        renewal_message(**ids, csr_pem=b"other", issued_ms=5),
        renewal_message(**ids, csr_pem=b"csr", issued_ms=6),
    ]
    assert not any(signed_by(key.public_der(), signature, other) for other in changed)
    assert not signed_by(key.public_der(), "not base64!", message)
    assert not signed_by(key.public_der(), "A" * 500, message)
