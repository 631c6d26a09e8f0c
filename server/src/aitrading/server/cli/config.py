"""`aitrading config`: every setting, its value, and where the value comes from."""

import difflib
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
import msgspec

from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.config_reference import reference_markdown
from aitrading.server.cli.administration import tenant_option
from aitrading.server.cli.errors import SETTING_NOT_KNOWN
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, show_json, show_table
from aitrading.server.supervisor.all_settings import all_sections
from aitrading.server.supervisor.home import Home

_DATABASE: Final = "database-service"
_GRANTED: Final = "settings"
_NETWORKS: Final = "login.networks"


class GrantedSetting(msgspec.Struct):
    """One setting of an organisation."""

    setting: str
    value: Any
    changed_at: str
    changed_by: str


class Granted(msgspec.Struct):
    """All of them."""

    items: list[GrantedSetting]


@click.group()
def config() -> None:
    """Settings: values, origins, reference."""


@config.command()
@json_option
@home_option
def show(*, as_json: bool, home: Path) -> None:
    """Show every setting with its value and the layer that decides it."""
    found = _manager(home).explain_all()
    if as_json:
        show_json({name: _plain(provenance) for name, provenance in found.items()})
        return
    rows = [(name, *_plain(provenance).values()) for name, provenance in sorted(found.items())]
    show_table(("setting", "value", "layer", "source"), rows)


@config.command()
@click.argument("setting")
@json_option
@home_option
def explain(*, setting: str, as_json: bool, home: Path) -> None:
    """Tell the value of SETTING (section.field) and where it comes from."""
    manager = _manager(home)
    known = manager.explain_all()
    if setting not in known:
        close = difflib.get_close_matches(setting, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise SETTING_NOT_KNOWN.error(wanted=setting, suggestion=hint)
    provenance = _plain(manager.explain(setting))
    if as_json:
        show_json({"setting": setting, **provenance})
        return
    show_table(("setting", "value", "layer", "source"), [(setting, *provenance.values())])


@config.command()
def reference() -> None:
    """Print the reference of all settings as Markdown."""
    click.echo(reference_markdown(all_sections()))


@config.group()
def tenant() -> None:
    """Settings that one organisation has for itself."""


@tenant.command("list")
@tenant_option
@json_option
@home_option
def list_granted(*, tenant: str, as_json: bool, home: Path) -> None:
    """Show what was granted to an organisation."""
    _show_granted(
        Host(home).get(_GRANTED, Granted, peer=_DATABASE, tenant=tenant), as_json=as_json
    )


@tenant.command("set")
@click.argument("setting")
@click.argument("value")
@tenant_option
@json_option
@home_option
def grant(*, setting: str, value: str, tenant: str, as_json: bool, home: Path) -> None:
    """Give an organisation its own VALUE of SETTING (section.field), at once."""
    host = Host(home)
    body = {"tenant": tenant, "setting": setting, "value": _scalar(value)}
    granted = host.send("PUT", _GRANTED, Granted, peer=_DATABASE, body=body)
    _renew_tokens(host, tenant, setting)
    _show_granted(granted, as_json=as_json)


@tenant.command("unset")
@click.argument("setting")
@tenant_option
@json_option
@home_option
def take_back(*, setting: str, tenant: str, as_json: bool, home: Path) -> None:
    """Let an organisation have what everybody has."""
    host = Host(home)
    path = f"{_GRANTED}/{quote(setting, safe='')}"
    granted = host.send("DELETE", path, Granted, peer=_DATABASE, tenant=tenant)
    _renew_tokens(host, tenant, setting)
    _show_granted(granted, as_json=as_json)


def _renew_tokens(host: Host, tenant: str, setting: str) -> None:
    """Tokens carry the networks of their issue: with others each is renewed, or refused."""
    if setting == _NETWORKS:
        host.post("login-rules/changed", {"tenant": tenant}, msgspec.Raw)


def _scalar(text: str) -> bool | int | float | str:
    try:
        return msgspec.json.decode(text, type=bool | int | float)
    except msgspec.DecodeError:
        return text


def _show_granted(granted: Granted, *, as_json: bool) -> None:
    if as_json:
        show_json(granted)
        return
    rows = [
        (each.setting, str(each.value), each.changed_at[:19], each.changed_by)
        for each in granted.items
    ]
    show_table(("setting", "value", "since", "by"), rows)


def _manager(home: Path) -> ConfigManager:
    place = Home(home)
    return ConfigManager.load(
        all_sections(),
        toml_path=place.config_file if place.config_file.exists() else None,
        environ=os.environ,
        overrides={},
        strict=True,
    )


def _plain(provenance: Any) -> dict[str, object]:
    return {
        "value": str(provenance.value),
        "layer": str(provenance.layer),
        "source": str(provenance.source),
    }
