"""Reading the layers: what each of them says about which setting, before anything is parsed.

Weakest first: default, `aitrading.toml`, environment, command line. Tenant overrides are tables
`[tenant.<uuid>.<section>]` of the file.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

from typing_extensions import override

from aitrading.core.infrastructure.config_model import ENV_PREFIX, SectionModel
from aitrading.core.kit.ids import TenantId

TENANT_TABLE: Final = "tenant"
MAX_FILE_BYTES: Final = 1024 * 1024


class Layer(StrEnum):
    """Where a value comes from; later members win."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"
    BUNDLE = "bundle"
    """What its server says to a client, signed; for settings that are declared `remote` alone."""
    TENANT = "tenant"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, and where."""

    setting: str
    source: str
    message: str

    @override
    def __str__(self) -> str:
        return f"{self.setting} ({self.source}): {self.message}"


@dataclass(frozen=True, kw_only=True)
class RawValue:
    """What one layer says about one setting."""

    raw: object
    layer: Layer
    source: str


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the layers are read from; `strict` makes names of unknown sections a problem."""

    toml_path: Path | None
    environ: Mapping[str, str]
    overrides: Mapping[str, str]
    strict: bool
    bundle: Mapping[str, object] = field(default_factory=dict[str, object])
    bundle_source: str = ""


@dataclass(kw_only=True)
class Gathered:
    """Everything the layers say: by setting, weakest first; by tenant; and what made no sense."""

    values: dict[str, list[RawValue]] = field(default_factory=dict[str, list[RawValue]])
    tenants: dict[TenantId, dict[str, RawValue]] = field(
        default_factory=dict[TenantId, dict[str, RawValue]]
    )
    problems: list[Problem] = field(default_factory=list[Problem])

    def add(self, key: str, value: RawValue) -> None:
        """Note one value; stronger layers are added later."""
        self.values.setdefault(key, []).append(value)

    def complain(self, setting: str, source: str, message: str) -> None:
        """Note one problem."""
        self.problems.append(Problem(setting=setting, source=source, message=message))


def gather(models: Mapping[str, SectionModel], sources: Sources) -> Gathered:
    """Read every layer; problems are collected, never raised."""
    found = Gathered()
    _gather_file(models, sources, found)
    _gather_environment(models, sources, found)
    _gather_overrides(models, sources, found)
    _gather_bundle(models, sources, found)
    return found


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean x?` when a known name is close, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _gather_file(models: Mapping[str, SectionModel], sources: Sources, found: Gathered) -> None:
    if sources.toml_path is None:
        return
    name = sources.toml_path.name
    for section, table in _read_toml(sources.toml_path, found).items():
        if section == TENANT_TABLE:
            _gather_tenants(models, table, sources, found)
        elif section not in models:
            if sources.strict:
                hint = suggestion(section, models)
                found.complain(section, name, f"there is no section [{section}]{hint}")
        else:
            for key, raw in _known_fields(models[section], table, name, found):
                found.add(key, RawValue(raw=raw, layer=Layer.FILE, source=str(sources.toml_path)))


def _read_toml(path: Path, found: Gathered) -> dict[str, object]:
    try:
        data = path.read_bytes()
        if len(data) > MAX_FILE_BYTES:
            found.complain(str(path), "file", f"it is larger than {MAX_FILE_BYTES} bytes")
            return {}
        return tomllib.loads(data.decode())
    except OSError as exc:
        found.complain(str(path), "file", f"it cannot be read: {exc.strerror}")
    except UnicodeDecodeError as exc:
        found.complain(str(path), "file", f"it is not UTF-8 text: byte {exc.start}")
    except tomllib.TOMLDecodeError as exc:
        found.complain(str(path), "file", f"it is not valid TOML: {exc}")
    return {}


def _known_fields(
    model: SectionModel, table: object, source: str, found: Gathered
) -> list[tuple[str, object]]:
    if not isinstance(table, dict):
        found.complain(model.name, source, f"[{model.name}] must be a table of settings")
        return []
    known: list[tuple[str, object]] = []
    for name, raw in cast("dict[str, object]", table).items():
        if name in model.fields:
            known.append((f"{model.name}.{name}", raw))
        else:
            hint = suggestion(name, model.fields)
            found.complain(f"{model.name}.{name}", source, f"there is no such setting{hint}")
    return known


def _gather_tenants(
    models: Mapping[str, SectionModel], table: object, sources: Sources, found: Gathered
) -> None:
    source = str(sources.toml_path)
    for tenant_text, tables in _entries(table):
        try:
            tenant = TenantId(UUID(tenant_text))
        except ValueError:
            found.complain(f"tenant.{tenant_text}", source, "a tenant is named by its UUID")
            continue
        for section, settings in _entries(tables):
            if section in models:
                values = _known_fields(models[section], settings, source, found)
                add_tenant_values(models, tenant, dict(values), source, found)
            elif sources.strict:
                hint = suggestion(section, models)
                found.complain(f"tenant.{tenant}.{section}", source, f"no such section{hint}")


def add_tenant_values(
    models: Mapping[str, SectionModel],
    tenant: TenantId,
    values: Mapping[str, object],
    source: str,
    found: Gathered,
) -> None:
    """Note overrides of one tenant; only settings marked `tenant=True` may differ."""
    for key, raw in values.items():
        section, _, name = key.partition(".")
        model = models.get(section)
        if model is None or name not in model.fields:
            found.complain(key, source, f"there is no such setting{_hint(models, key)}")
        elif not model.fields[name].setting.tenant:
            found.complain(key, source, "this setting is the same for all tenants")
        else:
            value = RawValue(raw=raw, layer=Layer.TENANT, source=source)
            found.tenants.setdefault(tenant, {})[key] = value


def _gather_environment(
    models: Mapping[str, SectionModel], sources: Sources, found: Gathered
) -> None:
    variables = {
        field.env: field.key for model in models.values() for field in model.fields.values()
    }
    for variable, key in variables.items():
        if variable in sources.environ:
            raw = sources.environ[variable]
            source = f"environment variable {variable}"
            found.add(key, RawValue(raw=raw, layer=Layer.ENVIRONMENT, source=source))
    if sources.strict:
        _complain_of_unknown_variables(models, variables, sources.environ, found)


def _complain_of_unknown_variables(
    models: Mapping[str, SectionModel],
    variables: Mapping[str, str],
    environ: Mapping[str, str],
    found: Gathered,
) -> None:
    prefixes = tuple(f"{ENV_PREFIX}{name}_".upper() for name in models)
    for variable in environ:
        if variable.startswith(prefixes) and variable not in variables:
            hint = suggestion(variable, variables)
            found.complain(variable, "environment", f"no setting has this variable{hint}")


def _gather_overrides(
    models: Mapping[str, SectionModel], sources: Sources, found: Gathered
) -> None:
    for key, raw in sources.overrides.items():
        section, _, name = key.partition(".")
        model = models.get(section)
        if model is not None and name in model.fields:
            value = RawValue(raw=raw, layer=Layer.COMMAND_LINE, source=f"--set {key}")
            found.add(key, value)
        elif model is not None or sources.strict:
            hint = _hint(models, key)
            found.complain(key, "command line", f"there is no such setting{hint}")


def _gather_bundle(models: Mapping[str, SectionModel], sources: Sources, found: Gathered) -> None:
    for key, raw in sources.bundle.items():
        section, _, name = key.partition(".")
        model = models.get(section)
        if model is None or name not in model.fields:
            found.complain(key, sources.bundle_source, "there is no such setting")
        elif not model.fields[name].setting.remote:
            found.complain(key, sources.bundle_source, "a bundle may not set it")
        else:
            value = RawValue(raw=raw, layer=Layer.BUNDLE, source=sources.bundle_source)
            found.add(key, value)


def setting_keys(models: Mapping[str, SectionModel]) -> list[str]:
    """Every `section.field`."""
    return [field.key for model in models.values() for field in model.fields.values()]


def _hint(models: Mapping[str, SectionModel], key: str) -> str:
    return suggestion(key, setting_keys(models))


def _entries(table: object) -> list[tuple[str, Any]]:
    return list(cast("dict[str, Any]", table).items()) if isinstance(table, dict) else []
