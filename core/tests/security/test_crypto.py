"""Keys and certificates: what is issued is what was decided, and nothing else is accepted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import (
    MAX_CSR_BYTES,
    Issuer,
    LeafSpec,
    Purpose,
    SigningKey,
    TlsKey,
    Validity,
    VerifyKey,
    create_ca,
    create_csr,
    inspect_certificate,
    issue_leaf,
    public_key_of_csr,
    verify_p256,
)
from aitrading.core.security.encoding import base64url_decode, base64url_encode

VALIDITY = Validity(not_before_ns=1_700_000_000 * NS_PER_S, not_after_ns=1_700_086_400 * NS_PER_S)
URI = "spiffe://aitrading/service/data-bridge"
ROOT = Path(__file__).parents[3]


def authority() -> Issuer:
    key = TlsKey.generate()
    pem = create_ca(key, common_name="test authority", serial=1, validity=VALIDITY)
    return Issuer(certificate_pem=pem, key=key)


def test_a_leaf_says_exactly_what_the_issuer_decided() -> None:
    issuer, key = authority(), TlsKey.generate()
    spec = LeafSpec(
        common_name="data-bridge",
        serial=77,
        validity=VALIDITY,
        purposes=frozenset(Purpose),
        uris=(URI,),
        dns_names=("localhost",),
        ip_addresses=("127.0.0.1", "::1"),
    )
    info = inspect_certificate(issue_leaf(issuer, spec, key.public_der()))
    assert (info.common_name, info.issuer_name, info.serial) == (
        "data-bridge",
        "test authority",
        77,
    )
    assert (info.uris, info.dns_names) == ((URI,), ("localhost",))
    assert info.ip_addresses == ("127.0.0.1", "::1")
    assert info.validity == VALIDITY
    assert info.purposes == frozenset(Purpose)
    assert not info.is_ca
    assert inspect_certificate(issuer.certificate_pem).is_ca


def test_names_in_a_request_are_not_taken_over() -> None:
    """A client that asks to be an administrator gets what the server decided."""
    key = ec.generate_private_key(ec.SECP256R1())
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "admin")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier("spiffe://aitrading/service/admin")]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    spec = LeafSpec(
        common_name="device",
        serial=2,
        validity=VALIDITY,
        purposes=frozenset({Purpose.CLIENT}),
    )
    info = inspect_certificate(issue_leaf(authority(), spec, public_key_of_csr(greedy)))
    assert (info.common_name, info.uris, info.is_ca) == ("device", (), False)
    assert info.purposes == {Purpose.CLIENT}


def signed_request(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def damaged_request() -> bytes:
    der = x509.load_pem_x509_csr(create_csr(TlsKey.generate(), common_name="x")).public_bytes(
        serialization.Encoding.DER
    )
    other = x509.load_pem_x509_csr(create_csr(TlsKey.generate(), common_name="x")).public_bytes(
        serialization.Encoding.DER
    )
    raw = der[:-64] + other[-64:]
    return (
        b"-----BEGIN CERTIFICATE REQUEST-----\n"
        + base64_lines(raw)
        + (b"-----END CERTIFICATE REQUEST-----\n")
    )


def base64_lines(raw: bytes) -> bytes:
    text = base64url_encode(raw).replace("-", "+").replace("_", "/")
    text += "=" * (-len(text) % 4)
    return "".join(text[at : at + 64] + "\n" for at in range(0, len(text), 64)).encode()


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"hello",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        signed_request(rsa.generate_private_key(65537, 2048)),
        signed_request(ec.generate_private_key(ec.SECP384R1())),
        damaged_request(),
        create_csr(TlsKey.generate(), common_name="x") + b" " * MAX_CSR_BYTES,
    ],
    ids=["empty", "text", "nonsense", "rsa", "p384", "wrong signature", "too large"],
)
def test_a_request_that_proves_nothing_is_refused(pem: bytes) -> None:
    with pytest.raises(AitradingError) as caught:
        public_key_of_csr(pem)
    assert caught.value.code == "CSR_INVALID"


def test_a_request_gives_the_key_that_signed_it() -> None:
    key = TlsKey.generate()
    assert public_key_of_csr(create_csr(key, common_name="x")) == key.public_der()


@pytest.mark.parametrize("data", [b"", b"x", b"-----BEGIN CERTIFICATE-----\n", b"0" * 20_000])
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(AitradingError) as caught:
        inspect_certificate(data)
    assert caught.value.code == "CERTIFICATE_INVALID"


def test_keys_survive_storage() -> None:
    signing, tls = SigningKey.generate(), TlsKey.generate()
    assert SigningKey.from_pem(signing.pem()).public.raw == signing.public.raw
    assert TlsKey.from_pem(tls.pem()).public_der() == tls.public_der()


def test_another_kind_of_key_is_refused() -> None:
    signing, tls, nonsense = SigningKey.generate().pem(), TlsKey.generate().pem(), Secret(b"x")
    for load, wrong in ((SigningKey.from_pem, tls), (TlsKey.from_pem, signing)):
        for pem in (wrong, nonsense):
            with pytest.raises(AitradingError) as caught:
                load(pem)
            assert caught.value.code == "KEY_INVALID"


def test_key_material_is_never_printed() -> None:
    key = SigningKey.generate()
    assert "PRIVATE" not in repr(key.pem())
    assert key.public.thumbprint() in repr(key.public)


def test_a_signature_of_another_key_or_message_is_refused() -> None:
    key = SigningKey.generate()
    signature = key.sign(b"message")
    assert key.public.verify(signature, b"message")
    assert not key.public.verify(signature, b"another")
    assert not key.public.verify(signature[:-1], b"message")
    assert not SigningKey.generate().public.verify(signature, b"message")
    tls = TlsKey.generate()
    assert verify_p256(tls.public_der(), tls.sign(b"message"), b"message")
    assert not verify_p256(tls.public_der(), tls.sign(b"message"), b"another")
    assert not verify_p256(TlsKey.generate().public_der(), tls.sign(b"message"), b"message")
    assert not verify_p256(b"nonsense", b"", b"message")


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    """RFC 8037 appendix A.3."""
    raw = base64url_decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    assert VerifyKey(raw).thumbprint() == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_signature_is_that_of_rfc_8037() -> None:
    """RFC 8037 appendix A.4."""
    seed = base64url_decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
    pem = ed25519.Ed25519PrivateKey.from_private_bytes(seed).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    signature = SigningKey.from_pem(Secret(pem)).sign(
        b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    )
    assert base64url_encode(signature) == (
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )


@given(st.binary(max_size=100))
def test_base64url_has_one_spelling_per_value(data: bytes) -> None:
    text = base64url_encode(data)
    assert base64url_decode(text) == data
    for other in (text + "=", text + "\n", " " + text, text + "A" * 3 + "\0"):
        if other != text:
            with pytest.raises(ValueError, match="base64url"):
                base64url_decode(other)


def test_cryptography_is_imported_in_one_module_only() -> None:
    """So that the inventory of algorithms is one file (ASVS V11.1.2)."""
    sources = [
        path
        for wheel in ("core", "server", "client")
        for path in (ROOT / wheel / "src").rglob("*.py")
        if re.search(r"^\s*(from|import) cryptography\b", path.read_text(), re.MULTILINE)
    ]
    assert [path.name for path in sources] == ["crypto.py"]


def test_a_process_that_only_verifies_does_not_load_x509() -> None:
    """It costs 90 ms and some memory in each of them."""
    code = "import sys, aitrading.core.security.jwt_manager; print('cryptography.x509' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
