"""Identities have one spelling; what the edge forwards is believed only in one shape."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.security.certificates import (
    DeviceIdentity,
    ServiceIdentity,
    parse_device,
    parse_forwarded_device,
    parse_identity,
    parse_service,
)

TENANT = "018f0000-0000-7000-8000-00000000000a"
DEVICE = "018f0000-0000-7000-8000-00000000000d"
URI = f"spiffe://aitrading/tenant/{TENANT}/device/{DEVICE}"
HASH = "0123456789abcdef" * 4
IDENTITY = DeviceIdentity(tenant=TenantId(UUID(TENANT)), device=DeviceId(UUID(DEVICE)))


@given(st.uuids(), st.uuids())
def test_a_device_identity_survives_the_way_through_a_certificate(
    tenant: UUID, device: UUID
) -> None:
    identity = DeviceIdentity(tenant=TenantId(tenant), device=DeviceId(device))
    assert parse_identity(identity.uri) == identity


def test_a_service_identity_survives_the_way_through_a_certificate() -> None:
    assert parse_identity(ServiceIdentity(name="data-bridge").uri) == ServiceIdentity(
        name="data-bridge"
    )


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://aitrading/service/",
        "spiffe://aitrading/service/Data-Bridge",
        "spiffe://aitrading/service/a/b",
        "spiffe://aitrading/service/a\n",
        "spiffe://aitrading/service/" + "a" * 64,
        "spiffe://aitrading.example/service/a",
        "https://aitrading/service/a",
        URI.upper(),
        URI + "/",
        URI + "?x",
        URI.replace(TENANT, "{" + TENANT + "}"),
        URI.replace("-", ""),
        f"spiffe://aitrading/tenant/{TENANT}",
        f"spiffe://aitrading/tenant/{'-' * 36}/device/{DEVICE}",
    ],
)
def test_any_other_spelling_is_refused(uri: str) -> None:
    with pytest.raises(AitradingError) as caught:
        parse_identity(uri)
    assert caught.value.code == "IDENTITY_MALFORMED"


def test_a_device_is_no_service_and_a_service_no_device() -> None:
    with pytest.raises(AitradingError):
        parse_service(URI)
    with pytest.raises(AitradingError):
        parse_device("spiffe://aitrading/service/data-bridge")


@pytest.mark.parametrize("header", [f"Hash={HASH};URI={URI}", f"URI={URI};Hash={HASH}"])
def test_the_edge_vouches_for_a_device(header: str) -> None:
    found = parse_forwarded_device(header)
    assert found.identity == IDENTITY
    assert found.certificate_sha256 == HASH


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"URI={URI}",
        f"Hash={HASH}",
        f"Hash={HASH[:-1]};URI={URI}",
        f"Hash={HASH.upper()};URI={URI}",
        f"Hash={HASH};URI={URI},Hash={HASH};URI={URI}",
        f"Hash={HASH};URI={URI};URI={URI}",
        f"Hash={HASH};uri={URI};URI={URI}",
        f'Hash={HASH};URI="{URI}"',
        f'Hash={HASH};Subject="CN=x;URI={URI}";URI={URI}',
        f"Hash={HASH};URI=spiffe://aitrading/service/admin",
        f"Hash={HASH};URI={URI};" + "X=y" * 1000,
    ],
)
def test_a_forwarded_certificate_of_another_shape_is_refused(header: str) -> None:
    with pytest.raises(AitradingError) as caught:
        parse_forwarded_device(header)
    assert caught.value.code == "IDENTITY_MALFORMED"
