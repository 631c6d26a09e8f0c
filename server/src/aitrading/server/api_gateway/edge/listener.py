"""The one listener: TLS 1.3 only, devices and people told apart by the name they ask for."""

from aitrading.core.infrastructure.service_registry import RouteAccess
from aitrading.core.security.own_authority import OWN_AUTHORITY
from aitrading.server.api_gateway.edge.config import EdgeConfig, Route
from aitrading.server.api_gateway.edge.errors import local_replies
from aitrading.server.api_gateway.edge.json_types import (
    Json,
    Resource,
    extension,
    type_url,
    typed,
)
from aitrading.server.api_gateway.edge.observation import TOKEN_METADATA, observation
from aitrading.server.api_gateway.edge.routes import (
    BODY_FILTER,
    CORS_FILTER,
    LINK_ROUTES,
    PUBLIC_ROUTES,
    RATE_LIMIT_FILTER,
    most_specific_first,
    path_match,
    route_file,
)
from aitrading.server.policy import tls_policy

LISTENER = "edge"
TOKEN_FILTER = "aitrading.token"  # noqa: S105 - a filter's name
SERVER_SECRET = "edge-certificate"  # noqa: S105 - a resource's name
SITE_CERTIFICATE = "site-certificate"
OWN_FILE = "sds"
SITE_FILE = "sds-site"
TOKEN_PROVIDER = "user"  # noqa: S105 - a provider's name
API_PREFIX = "/api/"
DEVICE_URI_PREFIX = "spiffe://aitrading/tenant/"

_JWT_FILTER = "extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_TLS = "extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_VERSION = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}
_NOBODY = {"address_prefix": "192.0.2.0", "prefix_len": 32}
"""An address for documents; without any, Envoy obeys inner headers from loopback and LAN."""
_HTTP = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def listener(config: EdgeConfig) -> Resource:
    """Choose the chain by SNI; anything but a link name goes to the public chain."""
    return typed(
        "config.listener.v3.Listener",
        name=LISTENER,
        address={"socket_address": {"address": config.address, "port_value": config.port}},
        per_connection_buffer_limit_bytes=config.limits.connection_buffer_bytes,
        listener_filters=[
            extension(
                "envoy.filters.listener.tls_inspector",
                "extensions.filters.listener.tls_inspector.v3.TlsInspector",
            )
        ],
        listener_filters_timeout=f"{config.limits.first_bytes_s}s",
        filter_chains=[_link_chain(config), *_site_chains(config)],
        default_filter_chain=_public_chain(config),
    )


def _site_chains(config: EdgeConfig) -> list[Json]:
    """Under the names of the site its certificate is shown, except to who asks for our own.

    Chains are added and the others stay as they are, byte for byte: Envoy drains what changes.
    """
    if config.site is None:
        return []
    limits = config.limits
    names = list(config.site.names)
    return [
        _public_chain(
            config, name="site", cap=limits.max_public_connections, secret=SITE_CERTIFICATE
        )
        | {"filter_chain_match": {"server_names": names}},
        _public_chain(config, name="own", cap=limits.max_own_connections)
        | {
            "filter_chain_match": {
                "server_names": names,
                "application_protocols": [OWN_AUTHORITY],
            }
        },
    ]


def token_filter(config: EdgeConfig) -> Resource:
    """The token check, delivered apart from the listener: new keys must not cut WebSockets."""
    token = config.token
    provider: Resource = {
        "issuer": token.issuer,
        "audiences": [token.audience],
        "forward": True,
        "clock_skew_seconds": token.clock_skew_s,
        "require_expiration": True,
        "payload_in_metadata": TOKEN_METADATA,
        "from_headers": [
            {"name": "Authorization", "value_prefix": "Bearer "},
            {"name": "Authorization", "value_prefix": "DPoP "},
        ],
        "from_cookies": [token.cookie],
        "local_jwks": {"inline_string": token.jwks},
        "jwt_cache_config": {
            "jwt_cache_size": token.cached_tokens,
            "jwt_max_token_size": token.max_token_bytes,
        },
    }
    # The first that matches counts: a path that needs a token stands before an open one above it.
    rules = [_token_rule(route) for route in most_specific_first(config.routes)]
    # What is not open to strangers is closed to them, also a route that Envoy learns of first.
    rules.append({"match": {"prefix": API_PREFIX}, "requires": {"provider_name": TOKEN_PROVIDER}})
    return typed(
        "config.core.v3.TypedExtensionConfig",
        name=TOKEN_FILTER,
        typed_config=typed(_JWT_FILTER, providers={TOKEN_PROVIDER: provider}, rules=rules),
    )


def server_secret(config: EdgeConfig) -> Resource:
    """The edge's certificate by file, read again when its folder changes."""
    return typed(
        "extensions.transport_sockets.tls.v3.Secret",
        name=SERVER_SECRET,
        tls_certificate={
            "certificate_chain": {"filename": str(config.certificate)},
            "private_key": {"filename": str(config.private_key)},
            "watched_directory": {"path": str(config.certificate.parent)},
        },
    )


def site_secret(config: EdgeConfig) -> Resource:
    """The site's chain and key, in one file: they change together."""
    return typed(
        "extensions.transport_sockets.tls.v3.Secret",
        name=SITE_CERTIFICATE,
        tls_certificate={
            "certificate_chain": {"filename": str(config.site_file)},
            "private_key": {"filename": str(config.site_file)},
            "watched_directory": {"path": str(config.site_file.parent)},
        },
    )


def file_source(config: EdgeConfig, name: str) -> Resource:
    """A resource file beside the others, watched for an atomic rename."""
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": str(config.xds_folder / f"{name}.json"),
            "watched_directory": {"path": str(config.xds_folder)},
        },
    }


def _link_chain(config: EdgeConfig) -> Resource:
    device: Resource = {
        "trusted_ca": {"filename": str(config.device_ca)},
        "match_typed_subject_alt_names": [
            {"san_type": "URI", "matcher": {"prefix": DEVICE_URI_PREFIX}}
        ],
    }
    return {
        "name": LINK_ROUTES,
        "filter_chain_match": {"server_names": config.link_hosts},
        "transport_socket": _tls(
            config,
            alpn=["http/1.1"],
            require_client_certificate=True,
            validation=device,
        ),
        "transport_socket_connect_timeout": f"{config.limits.link_handshake_s}s",
        "filters": [
            _connection_cap(LINK_ROUTES, config.limits.max_link_connections),
            _http(
                config,
                LINK_ROUTES,
                [],
                forward_client_cert_details="SANITIZE_SET",
                set_current_client_cert_details={"uri": True},
            ),
        ],
    }


def _public_chain(
    config: EdgeConfig,
    *,
    name: str = PUBLIC_ROUTES,
    cap: int | None = None,
    secret: str = SERVER_SECRET,
) -> Resource:
    token: Json = {
        "name": TOKEN_FILTER,
        "config_discovery": {
            "config_source": file_source(config, "ecds"),
            "type_urls": [type_url(_JWT_FILTER)],
        },
    }
    limit = extension(
        RATE_LIMIT_FILTER,
        "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="edge",
    )
    cors = extension(CORS_FILTER, "extensions.filters.http.cors.v3.Cors")
    body = extension(
        BODY_FILTER,
        "extensions.filters.http.buffer.v3.Buffer",
        max_request_bytes=config.limits.connection_buffer_bytes,
    )
    return {
        "name": name,
        "transport_socket": _tls(config, alpn=["h2", "http/1.1"], secret=secret),
        "transport_socket_connect_timeout": f"{config.limits.handshake_s}s",
        "filters": [
            _connection_cap(name, cap or config.limits.max_public_connections),
            _http(
                config,
                PUBLIC_ROUTES,
                [limit, cors, token, body],  # preflights count as well
                forward_client_cert_details="SANITIZE",
                request_timeout=f"{config.limits.body_s}s",
            ),
        ],
    }


def _connection_cap(chain: str, connections: int) -> Resource:
    """Counts from the greeting on, which chooses the chain: also what never ends its handshake.

    Whoever merely greets with a link's name holds a device's place until the handshake's time is
    over: the caps keep people from crowding out devices, not an attacker who means devices.
    """
    return extension(
        "envoy.filters.network.connection_limit",
        "extensions.filters.network.connection_limit.v3.ConnectionLimit",
        stat_prefix=chain,
        max_connections=connections,
    )


def _tls(
    config: EdgeConfig,
    *,
    alpn: list[str],
    secret: str = SERVER_SECRET,
    require_client_certificate: bool = False,
    validation: Resource | None = None,
) -> Resource:
    tls = tls_policy()
    file = SITE_FILE if secret == SITE_CERTIFICATE else OWN_FILE
    common: Resource = {
        "alpn_protocols": alpn,
        "tls_params": {
            "tls_minimum_protocol_version": _VERSION[tls.minimum],
            "tls_maximum_protocol_version": _VERSION[tls.maximum],
            "ecdh_curves": tls.edge_groups,
        },
        "tls_certificate_sds_secret_configs": [
            {"name": secret, "sds_config": file_source(config, file)}
        ],
    }
    if validation is not None:
        common["validation_context"] = validation
    return extension(
        "envoy.transport_sockets.tls",
        _TLS,
        common_tls_context=common,
        require_client_certificate=require_client_certificate,
    )


def _http(config: EdgeConfig, routes: str, filters: list[Json], **client_cert: Json) -> Resource:
    return extension(
        "envoy.filters.network.http_connection_manager",
        _HTTP,
        stat_prefix=routes,
        rds={
            "route_config_name": routes,
            "config_source": file_source(config, route_file(routes)),
        },
        http_filters=[
            *filters,
            extension(
                "envoy.filters.http.router",
                "extensions.filters.http.router.v3.Router",
            ),
        ],
        **_strictness(config),
        **observation(config),
        **client_cert,
    )


def _strictness(config: EdgeConfig) -> Resource:
    """Nothing ambiguous passes: one meaning per path, no inner headers from outside."""
    limits = config.limits
    return {
        "use_remote_address": True,
        "skip_xff_append": False,
        "internal_address_config": {"unix_sockets": False, "cidr_ranges": [_NOBODY]},
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "max_request_headers_kb": limits.max_header_kib,
        "request_headers_timeout": f"{limits.headers_s}s",
        "stream_idle_timeout": f"{limits.silent_request_s}s",
        "common_http_protocol_options": {
            "idle_timeout": f"{limits.idle_connection_s}s",
            "max_headers_count": limits.max_headers,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": limits.max_streams_per_connection,
            "initial_stream_window_size": 65_536,
            "initial_connection_window_size": 1_048_576,
        },
        "server_name": "aitrading",
        "local_reply_config": local_replies(),
    }


def _token_rule(route: Route) -> Json:
    rule: Resource = {"match": path_match(route)}
    if route.access is RouteAccess.TOKEN:
        rule["requires"] = {"provider_name": TOKEN_PROVIDER}
    return rule
