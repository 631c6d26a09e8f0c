"""The edge as data: what is refused before Envoy ever sees it, and how files are replaced."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aitrading.core.infrastructure.service_registry import RouteAccess
from aitrading.core.kit.errors import AitradingError
from aitrading.server.api_gateway.edge.clusters import IDLE_S
from aitrading.server.api_gateway.edge.config import (
    EdgeConfig,
    RateLimit,
    Route,
    TokenRules,
    Upstream,
)
from aitrading.server.api_gateway.edge.errors import EDGE_REPLIES
from aitrading.server.api_gateway.edge.listener import TOKEN_FILTER
from aitrading.server.api_gateway.edge.routes import CORS_FILTER, RATE_LIMIT_FILTER
from aitrading.server.api_gateway.edge.xds import resources, write_resources
from aitrading.server.kit.http_servers import KEEP_ALIVE_S


@pytest.fixture
def config(tmp_path: Path) -> EdgeConfig:
    return EdgeConfig(
        address="127.0.0.1",
        port=8000,
        hosts=("localhost", "127.0.0.1", "trading.example"),
        certificate=tmp_path / "edge.pem",
        private_key=tmp_path / "edge.key",
        device_ca=tmp_path / "device-ca.pem",
        xds_folder=tmp_path / "xds",
        token=TokenRules(issuer="i", audience="a", cookie="c", jwks='{"keys":[]}'),
        upstreams=(Upstream(name="gateway", socket=tmp_path / "gateway.sock"),),
        routes=(
            Route(path="/api/v1", upstream="gateway"),
            Route(path="/api/v1/auth", upstream="gateway", access=RouteAccess.GUESSED),
        ),
        link_upstream="gateway",
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"port": 70_000},
        {"hosts": ()},
        {"link_upstream": "nobody"},
        {"routes": (Route(path="/x", upstream="nobody"),)},
    ],
)
def test_a_contradiction_is_refused_with_a_remedy(config: EdgeConfig, wrong: Any) -> None:
    with pytest.raises(AitradingError, match="EDGE_CONFIG_INVALID"):
        replace(config, **wrong)


def test_only_names_get_a_link_name(config: EdgeConfig) -> None:
    assert config.link_hosts == ("link.localhost", "link.trading.example")


def test_the_closest_route_is_matched_first(config: EdgeConfig) -> None:
    table = resources(config)["rds-public"][0]
    for virtual_host in table["virtual_hosts"][:-1]:
        paths = [line.get("name") for line in virtual_host["routes"]]
        assert paths == ["/api/v1/auth", "/api/v1", None]
    rules = resources(config)["ecds"][0]["typed_config"]["rules"]
    assert ["requires" in rule for rule in rules] == [False, True, True]


def test_a_path_that_needs_a_token_below_an_open_one_needs_it(config: EdgeConfig) -> None:
    routes = (
        Route(path="/api/v1/auth", upstream="gateway", access=RouteAccess.GUESSED),
        Route(path="/api/v1/auth/sessions", upstream="gateway"),
    )
    rules = resources(replace(config, routes=routes))["ecds"][0]["typed_config"]["rules"]
    first = next(
        rule
        for rule in rules
        if "/api/v1/auth/sessions/all".startswith(
            rule["match"].get("path_separated_prefix") or rule["match"]["prefix"]
        )
    )
    assert "requires" in first, "Envoy takes the first that matches"


@pytest.mark.parametrize("per_minute", [60, 1_199, 1_201, 2_399, 2_400, 60_001, 100_000_000])
def test_a_rate_is_the_one_that_was_set(config: EdgeConfig, per_minute: int) -> None:
    limited = replace(config, limit_per_address=RateLimit(burst=100, per_minute=per_minute))
    host = resources(limited)["rds-public"][0]["virtual_hosts"][0]
    limit = host["typed_per_filter_config"][RATE_LIMIT_FILTER]
    bucket = limit["descriptors"][0]["token_bucket"]
    interval_s = float(bucket["fill_interval"].removesuffix("s"))
    assert interval_s >= 0.05, "Envoy takes no shorter one"
    assert bucket["tokens_per_fill"] * 60 / interval_s == pytest.approx(per_minute, rel=0.01)


def test_what_the_edge_answers_itself_counts_as_well(config: EdgeConfig) -> None:
    chain = resources(config)["lds"][0]["default_filter_chain"]
    manager = chain["filters"][-1]["typed_config"]
    names = [each["name"] for each in manager["http_filters"]]
    assert names.index(RATE_LIMIT_FILTER) < names.index(CORS_FILTER) < names.index(TOKEN_FILTER)


def test_a_device_has_less_time_for_its_handshake(config: EdgeConfig) -> None:
    listener = resources(config)["lds"][0]
    link, public = listener["filter_chains"][0], listener["default_filter_chain"]
    waits = [float(each["transport_socket_connect_timeout"][:-1]) for each in (link, public)]
    assert waits[0] < waits[1]


def test_only_changed_files_are_written_and_each_is_whole(config: EdgeConfig) -> None:
    first = write_resources(config)
    assert set(first) == {"cds", "sds", "ecds", "rds-public", "rds-link", "lds"}
    assert write_resources(config) == ()
    slower = replace(config, silent_stream_s=120)
    assert write_resources(slower) == ("rds-link",)
    assert not list(config.xds_folder.glob("*.tmp"))
    for path in config.xds_folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert json.loads(path.read_bytes())["resources"]


def test_every_answer_of_the_edge_has_its_own_status() -> None:
    statuses = [spec.http_status for spec in EDGE_REPLIES]
    assert len(set(statuses)) == len(statuses)
    assert all(spec.remedy and spec.why for spec in EDGE_REPLIES)


def test_a_service_is_looked_for_as_often_before_its_first_request_as_after(
    config: EdgeConfig,
) -> None:
    """Else a device that connects right after a start is refused and waits for its next attempt."""
    clusters = resources(config)["cds"]
    checks = [check for cluster in clusters for check in cluster["health_checks"]]
    assert len(checks) == len(config.upstreams)
    for check in checks:
        assert check["no_traffic_interval"] == check["unhealthy_interval"]


def test_the_edge_is_the_one_that_lets_go_of_an_idle_connection(config: EdgeConfig) -> None:
    """Else a service hangs up while the next request is on its way to it."""
    assert IDLE_S + 10 <= KEEP_ALIVE_S
    for cluster in resources(config)["cds"]:
        (options,) = cluster["typed_extension_protocol_options"].values()
        assert options["common_http_protocol_options"] == {"idle_timeout": f"{IDLE_S}s"}
