"""`aitrading device settings`: what an organisation sets on its installed clients."""

from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import click
import msgspec

from aitrading.server.cli.administration import tenant_option
from aitrading.server.cli.device_names import device_of
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, printable, show_json, show_table

PATH: Final = "devices/settings"
_device = click.option("--device", help="Only this device, by name or id; otherwise every one.")


class Setting(msgspec.Struct, kw_only=True):
    """One setting, of one device or of every one."""

    setting: str
    value: Any
    device: UUID | None = None
    changed_at: datetime
    changed_by: str


class Configuration(msgspec.Struct, kw_only=True):
    """How far a device is."""

    device: UUID
    version: int
    used_version: int
    is_used: bool
    problem: str
    asked_at: datetime


class View(msgspec.Struct, kw_only=True):
    """Everything that is set, and how far each device is."""

    items: list[Setting] = []
    devices: list[Configuration] = []
    may_be_set: list[str] = []


@click.group("settings")
def device_settings() -> None:
    """Settings of installed clients: signed for each device, used within seconds."""


@device_settings.command("list")
@tenant_option
@json_option
@home_option
def list_settings(*, tenant: str, as_json: bool, home: Path) -> None:
    """Show what is set, and which devices use it."""
    _show(Host(home).get(PATH, View, tenant=tenant), as_json=as_json)


@device_settings.command("set")
@click.argument("setting")
@click.argument("value")
@tenant_option
@_device
@json_option
@home_option
def set_one(
    *, setting: str, value: str, tenant: str, device: str | None, as_json: bool, home: Path
) -> None:
    """Set SETTING to VALUE on every device, or on one; lists are separated by commas."""
    _change(home, tenant, device, setting, value=_typed(value))
    _show(Host(home).get(PATH, View, tenant=tenant), as_json=as_json)


@device_settings.command("unset")
@click.argument("setting")
@tenant_option
@_device
@json_option
@home_option
def unset_one(*, setting: str, tenant: str, device: str | None, as_json: bool, home: Path) -> None:
    """Let devices use their own value of SETTING again."""
    _change(home, tenant, device, setting)
    _show(Host(home).get(PATH, View, tenant=tenant), as_json=as_json)


def _change(
    home: Path, tenant: str, device: str | None, setting: str, *, value: Any = None
) -> None:
    host = Host(home)
    body = {
        "tenant": tenant,
        "setting": setting,
        "value": value,
        "device": str(device_of(host, tenant, device)) if device else None,
    }
    host.post(PATH, body, msgspec.Raw)


def _typed(text: str) -> bool | int | float | str:
    """Numbers and booleans as such; anything else is text, which the setting itself splits."""
    try:
        return msgspec.json.decode(text, type=bool | int | float)
    except msgspec.DecodeError:
        return text


def _show(view: View, *, as_json: bool) -> None:
    if as_json:
        show_json(view)
        return
    rows = [
        (one.setting, printable(_text(one.value)), one.device or "every one", one.changed_by)
        for one in view.items
    ]
    show_table(("setting", "value", "device", "by"), rows)
    states = [
        (
            one.device, one.version, one.used_version, "yes" if one.is_used else "no",
            f"{one.asked_at:%Y-%m-%d %H:%M:%S}Z", printable(one.problem),
        )
        for one in view.devices
    ]  # fmt: skip
    click.echo()
    show_table(("device", "signed", "used", "uses it", "asked", "problem"), states)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, cast("list[object]", value)))
    return str(value)
