"""The policy files are what runs: complete, without a second truth, and shown in `security/`."""

from pathlib import Path

import msgspec
import pytest

from aitrading.core.security.claims import Scope
from aitrading.core.security.db_security_manager import MINIMUM_TLS_VERSION
from aitrading.server import policy
from aitrading.server.api_gateway.identity.model import SCOPES, Role
from aitrading.server.cli.administration import ROLES
from aitrading.server.kit.endpoints import endpoints_of_class
from aitrading.server.policy import (
    EdgePolicy,
    bus_policy,
    cache_policy,
    edge_policy,
    inbox_of,
    limits_policy,
    roles_policy,
    tls_policy,
)
from aitrading.server.supervisor.bundles import SERVICE_NAMES
from aitrading.server.trading_engine.service import SPEC as TRADING

ROOT = Path(__file__).parents[3]
FILES = sorted(Path(policy.__file__).parent.glob("*.toml"))


def test_every_policy_is_shown_where_people_look_for_it() -> None:
    shown = {path.name: path.resolve() for path in (ROOT / "security").glob("*.toml")}
    assert shown == {path.name: path.resolve() for path in FILES}
    told = (ROOT / "security" / "README.md").read_text()
    assert all(f"`{name}`" in told for name in shown)


def test_every_role_has_its_scopes_and_nobody_else() -> None:
    assert set(SCOPES) == set(Role)
    assert set(roles_policy()) == {role.value for role in Role}
    assert SCOPES[Role.OWNER] == frozenset(Scope) - {Scope.DEVICE}
    for role in (Role.VIEWER, Role.AUDITOR):
        assert not SCOPES[role] & {Scope.TRADE, Scope.KILL, Scope.ADMIN}


def test_who_administers_can_neither_trade_nor_read_who_watches() -> None:
    scopes = SCOPES[Role.ADMIN]
    assert scopes == {Scope.READ, Scope.ADMIN}
    changes = {
        each.access.scope
        for owner in TRADING.endpoints
        for each in endpoints_of_class(owner)
        if each.method != "GET" and not each.access.peers
    }
    assert changes
    assert not changes & scopes


def test_the_command_line_offers_every_role() -> None:
    assert set(ROLES) | {Role.SERVICE} == set(Role)  # a program is made with its key


def test_services_are_named_in_full_and_paths_have_one_owner() -> None:
    owners = edge_policy().owners
    assert set(owners) == set(SERVICE_NAMES)
    assert set(bus_policy().publish) <= set(SERVICE_NAMES)
    paths = [path for owned in owners.values() for path in owned]
    assert len(paths) == len(set(paths))
    assert not [path for path in paths if path.startswith("/internal")]


def test_nobody_may_write_the_registry_in_general_or_destroy_streams() -> None:
    bus = bus_policy()
    allowed = [*bus.everybody, *bus.machinery, *(s for each in bus.publish.values() for s in each)]
    assert not [subject for subject in allowed if subject.startswith(bus.registry)]
    assert not {">", "ait.>", "$KV.>", "$SYS.>"} & set(allowed)
    assert any("DELETE" in subject for subject in bus.forbidden)
    assert inbox_of("data-bridge") == "_INBOX.data-bridge"
    hears = [*bus.subscribe, *bus.guests_subscribe, *bus.guests_machinery.subscribe]
    assert not [subject for subject in hears if subject.startswith(("_INBOX", ">", "*"))]
    assert not set(bus.guests_subscribe) & {">", "ait.>"}


def test_every_kind_of_request_is_limited_at_every_level_it_has() -> None:
    policy = limits_policy()
    for kind in ("general", "identity", "trading", "connections"):
        wide = getattr(policy.platform, kind)
        assert wide >= getattr(policy.address, kind) > 0
        for tier in policy.tiers.values():
            assert wide >= getattr(tier.tenant, kind) >= getattr(tier.user, kind) > 0
    for kind in ("links", "health", "host"):
        assert getattr(policy.platform, kind) >= getattr(policy.address, kind) > 0
    for tier in policy.tiers.values():
        assert tier.user.identity == tier.user.connections == tier.device.links == 120
        assert tier.tenant.links >= tier.device.links
    assert policy.account.identity == 120
    assert policy.platform.trading >= policy.trading_account.trading > 0
    assert "standard" in policy.tiers


def test_a_cache_user_has_no_dangerous_command_and_no_foreign_key() -> None:
    rules = cache_policy().service
    assert rules.index("+@all") < rules.index("-@dangerous")
    assert {"-@admin", "-@dangerous"} <= set(rules)
    assert not [rule for rule in rules if rule in {"allkeys", "~*", "allchannels", "&*"}]


def test_core_and_policy_agree_on_tls() -> None:
    assert f"TLSv{tls_policy().minimum}" == MINIMUM_TLS_VERSION


def test_a_misspelt_rule_is_an_error_and_never_a_rule_that_does_not_hold() -> None:
    text = next(path for path in FILES if path.name == "edge.toml").read_text()
    assert msgspec.toml.decode(text, type=EdgePolicy) == edge_policy()
    with pytest.raises(msgspec.ValidationError, match="max_heders"):
        msgspec.toml.decode(text.replace("max_headers", "max_heders"), type=EdgePolicy)
