"""From raw layers to one consistent, immutable state of all settings."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from aitrading.core.infrastructure import config_values
from aitrading.core.infrastructure.config_layers import Gathered, Layer, Problem, RawValue
from aitrading.core.infrastructure.config_model import FieldModel, SectionModel
from aitrading.core.kit.ids import TenantId

Sections = dict[type[Any], Any]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a value comes from; `shadowed` are the sources it won over, weakest first."""

    value: Any
    layer: Layer
    source: str
    shadowed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All settings at one instant: by key, as section objects, and per tenant with overrides."""

    provenance: dict[str, Provenance]
    sections: Sections
    tenant_values: dict[TenantId, dict[str, Any]]
    tenants: dict[TenantId, Sections]

    def section(self, cls: type[Any], tenant: TenantId | None = None) -> Any:
        """The section for a tenant, or for nobody in particular; `KeyError` when not loaded."""
        own = self.tenants.get(tenant) if tenant is not None else None
        return (own or self.sections)[cls]


@dataclass(kw_only=True)
class Resolver:
    """Turns what the layers say into values and collects everything that is wrong."""

    models: Mapping[str, SectionModel]
    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list[Problem])
    files: set[Path] = field(default_factory=set[Path])
    """Where secrets were read from."""

    def resolve(self, found: Gathered) -> tuple[dict[str, Provenance], dict[TenantId, Any]]:
        """Parse all layers: provenance by setting, override values by tenant."""
        self.problems.extend(found.problems)
        provenance: dict[str, Provenance] = {}
        for model in self.models.values():
            for setting in model.fields.values():
                winner = self._winner(setting, found.values.get(setting.key, []))
                if winner is not None:
                    provenance[setting.key] = winner
        return provenance, {
            tenant: self.tenant_values(raws) for tenant, raws in found.tenants.items()
        }

    def tenant_values(self, raws: Mapping[str, RawValue]) -> dict[str, Any]:
        """Parse one tenant's overrides."""
        values: dict[str, Any] = {}
        for key, raw in raws.items():
            section, _, name = key.partition(".")
            self._parse(
                self.models[section].fields[name], raw, lambda v, key=key: values.update({key: v})
            )
        return values

    def snapshot(
        self,
        provenance: dict[str, Provenance],
        *tenant_layers: Mapping[TenantId, dict[str, Any]],
    ) -> Snapshot:
        """Build the section objects; later tenant layers win."""
        values = {key: entry.value for key, entry in provenance.items()}
        merged: dict[TenantId, dict[str, Any]] = {}
        for layer in tenant_layers:
            for tenant, overrides in layer.items():
                merged[tenant] = merged.get(tenant, {}) | overrides
        return Snapshot(
            provenance=provenance,
            sections=self._sections(values, "all settings together"),
            tenant_values=merged,
            tenants={
                tenant: self._sections(values | overrides, f"tenant {tenant}")
                for tenant, overrides in merged.items()
            },
        )

    def _winner(self, setting: FieldModel, raws: list[RawValue]) -> Provenance | None:
        entries: list[Provenance] = []
        if not setting.required:
            entries.append(
                Provenance(value=setting.default, layer=Layer.DEFAULT, source="default")
            )
        for position, raw in enumerate(raws, start=1):
            if setting.is_secret and position < len(raws):
                self._check_reference(setting, raw)
                entries.append(Provenance(value=None, layer=raw.layer, source=raw.source))
                continue
            self._parse(
                setting,
                raw,
                lambda value, raw=raw: entries.append(
                    Provenance(value=value, layer=raw.layer, source=raw.source)
                ),
            )
        if not entries:
            if not raws:
                self._complain(setting, "nowhere", f"it is required; set {setting.env}")
            return None
        *shadowed, winner = entries
        return dataclasses.replace(winner, shadowed=tuple(entry.source for entry in shadowed))

    def _parse(self, setting: FieldModel, raw: RawValue, accept: Callable[[Any], object]) -> None:
        if setting.is_secret and (file := config_values.secret_file(raw.raw, self.environ)):
            self.files.add(file)
        try:
            accept(config_values.parse(setting, raw.raw, self.environ))
        except ValueError as exc:
            shown = "" if setting.is_secret else f", was {raw.raw!r:.200}"
            self._complain(setting, raw.source, f"{exc}{shown}")

    def _check_reference(self, setting: FieldModel, raw: RawValue) -> None:
        try:
            config_values.split_reference(raw.raw)
        except ValueError as exc:
            self._complain(setting, raw.source, str(exc))

    def _sections(self, values: Mapping[str, Any], source: str) -> Sections:
        sections: Sections = {}
        for model in self.models.values():
            keys = {name: setting.key for name, setting in model.fields.items()}
            if any(key not in values for key in keys.values()):
                continue
            section = model.cls(**{name: values[key] for name, key in keys.items()})
            sections[model.cls] = section
            self.problems.extend(
                Problem(setting=model.name, source=source, message=text)
                for text in _own_problems(section)
            )
        return sections

    def _complain(self, setting: FieldModel, source: str, message: str) -> None:
        self.problems.append(Problem(setting=setting.key, source=source, message=message))


def _own_problems(section: Any) -> Iterable[str]:
    check = getattr(section, "problems", None)
    return cast("Iterable[str]", check()) if callable(check) else ()
