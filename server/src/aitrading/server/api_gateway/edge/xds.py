"""Hand the resources to Envoy: each file replaced whole, by an atomic rename."""

from pathlib import Path

import msgspec

from aitrading.core.infrastructure.files import write_atomically
from aitrading.server.api_gateway.edge.clusters import clusters
from aitrading.server.api_gateway.edge.config import EdgeConfig
from aitrading.server.api_gateway.edge.json_types import Resource
from aitrading.server.api_gateway.edge.listener import (
    OWN_FILE,
    SITE_FILE,
    listener,
    server_secret,
    site_secret,
    token_filter,
)
from aitrading.server.api_gateway.edge.routes import route_file, route_tables


def resources(config: EdgeConfig) -> dict[str, list[Resource]]:
    """Every file of the edge by its stem, in the order in which Envoy should learn them."""
    return {
        "cds": clusters(config),
        OWN_FILE: [server_secret(config)],
        **({SITE_FILE: [site_secret(config)]} if config.site else {}),
        "ecds": [token_filter(config)],
        **{route_file(name): [table] for name, table in route_tables(config).items()},
        "lds": [listener(config)],
    }


def write_resources(config: EdgeConfig) -> tuple[str, ...]:
    """Write what changed into the watched folder and tell which files that were.

    A crash in between leaves whole files only: Envoy sees the old or the new one, never a part.
    """
    config.xds_folder.mkdir(parents=True, exist_ok=True)
    return tuple(
        stem
        for stem, listed in resources(config).items()
        if _replace(config.xds_folder / f"{stem}.json", _encode(listed))
    )


def _encode(listed: list[Resource]) -> bytes:
    return msgspec.json.format(msgspec.json.encode({"resources": listed}, order="sorted"))


def _replace(path: Path, content: bytes) -> bool:
    if path.is_file() and path.read_bytes() == content:
        return False
    write_atomically(path, content)
    return True
