"""The reference of all settings, generated from their declarations."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aitrading.core.infrastructure.config_model import FieldModel, section_models
from aitrading.core.infrastructure.config_values import expectation


def reference_markdown(sections: Iterable[type[Any]]) -> str:
    """One table per section, sections and settings in alphabetical order."""
    models = section_models(sections)
    parts = [_section(name, models[name].cls, models[name].fields) for name in sorted(models)]
    return "\n".join(parts)


def _section(name: str, cls: type[Any], fields: dict[str, FieldModel]) -> str:
    doc = (cls.__doc__ or "").strip().splitlines()
    lines = [
        f"## `[{name}]`",
        "",
        *([doc[0], ""] if doc and not doc[0].startswith(f"{cls.__name__}(") else []),
        "| setting | meaning | value | default | environment | changes |",
        "|---|---|---|---|---|---|",
        *(_row(fields[key]) for key in sorted(fields)),
        "",
    ]
    return "\n".join(lines)


def _row(field: FieldModel) -> str:
    cells = (
        f"`{field.key}`",
        field.setting.doc,
        expectation(field),
        _default(field),
        f"`{field.env}`",
        _changes(field),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: FieldModel) -> str:
    if field.required:
        return "required"
    value = field.default
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{', '.join(value)}`"  # pyright: ignore[reportUnknownArgumentType]
    return f"`{value.as_posix()}`" if isinstance(value, Path) else f"`{value}`"


def _changes(field: FieldModel) -> str:
    words = ["while running" if field.setting.reloadable else "at restart"]
    if field.setting.tenant:
        words.append("per tenant")
    if field.setting.remote:
        words.append("by a bundle of the server")
    return ", ".join(words)
