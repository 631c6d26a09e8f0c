"""`aitrading config`: every setting, its value, and where the value comes from."""

import difflib
import os
from pathlib import Path
from typing import Any

import click

from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.config_reference import reference_markdown
from aitrading.server.cli.errors import SETTING_NOT_KNOWN
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.output import json_option, show_json, show_table
from aitrading.server.supervisor.all_settings import all_sections
from aitrading.server.supervisor.home import Home


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
