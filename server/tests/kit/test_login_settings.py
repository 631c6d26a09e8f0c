"""Which addresses a list of networks admits, and which lists are none."""

from ipaddress import ip_address
from uuid import UUID

import pytest

from aitrading.core.infrastructure.config_manager import ConfigInvalidError, ConfigManager
from aitrading.core.kit.ids import TenantId
from aitrading.server.kit.login_settings import LoginSettings, admits, parsed_networks

LIST = "192.0.2.0/24, 2001:db8::/32 198.51.100.7"


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("192.0.2.1", True),
        ("192.0.3.1", False),
        ("198.51.100.7", True),
        ("198.51.100.8", False),
        ("2001:db8:1::1", True),
        ("2001:db9::1", False),
    ],
)
def test_an_address_is_in_one_of_the_networks(address: str, *, admitted: bool) -> None:
    assert admits(parsed_networks(LIST), ip_address(address)) is admitted


def test_no_list_is_everywhere_and_a_list_admits_nobody_from_nowhere() -> None:
    assert admits(parsed_networks(" , "), None)
    assert not admits(parsed_networks(LIST), None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.0.0.1/8", "nothing but zeros"),
        ("10.0.0.0/33", "no network"),
        ("office", "no network"),
        ("2001:db8::/200", "no network"),
        ("::ffff:10.0.0.0/104", "IPv4 inside IPv6"),
        (" ".join(f"10.0.0.{n}" for n in range(101)), "too many"),
        (" ".join(f"2001:db8::{n:x}" for n in range(1, 62)), "1037 bytes of every token"),
    ],
)
def test_a_list_that_is_none_says_why_when_it_is_set(text: str, told: str) -> None:
    config = ConfigManager.load(
        (LoginSettings,), toml_path=None, environ={}, overrides={}, strict=True
    )
    tenant = TenantId(UUID(int=1))
    with pytest.raises(ConfigInvalidError) as caught:
        config.check_tenant_overrides(tenant, {"login.networks": text})
    assert told in " ".join(each.message for each in caught.value.problems)
    with pytest.raises(ConfigInvalidError):
        config.check_tenant_overrides(tenant, {"login.second_factor": "some"})
    config.check_tenant_overrides(tenant, {"login.networks": LIST, "login.second_factor": "all"})
