"""Typed configuration in layers: default < `aitrading.toml` < environment < command line < bundle.

Everything is validated at the start and every problem is reported at once. `explain` tells where
a value comes from, `reload` changes what may change while the process runs, tenants may differ in
settings that allow it, and a secret is a reference, never a literal.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from aitrading.core.infrastructure.config_layers import (
    Gathered,
    Layer,
    Problem,
    Sources,
    add_tenant_values,
    gather,
    setting_keys,
    suggestion,
)
from aitrading.core.infrastructure.config_model import (
    Section,
    SectionModel,
    Setting,
    section_models,
)
from aitrading.core.infrastructure.config_reference import reference_markdown
from aitrading.core.infrastructure.config_snapshot import Provenance, Resolver, Snapshot
from aitrading.core.infrastructure.error_codes import (
    CONFIG_INVALID,
    CONFIG_SECTION_NOT_LOADED,
    CONFIG_TENANTS_FULL,
    CONFIG_UNKNOWN_SETTING,
)
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId

__all__ = [
    "Change",
    "ConfigInvalidError",
    "ConfigManager",
    "Layer",
    "Problem",
    "Provenance",
    "Section",
    "Setting",
    "TenantConfig",
    "reference_markdown",
]

T = TypeVar("T")
MAX_TENANTS: Final = 10_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A setting whose layers say something new; without `applied` it needs a restart."""

    setting: str
    old: Any
    new: Any
    applied: bool


@dataclass(eq=False)
class ConfigInvalidError(AitradingError):
    """`CONFIG_INVALID` with every problem as a value."""

    problems: tuple[Problem, ...] = ()


class ConfigManager:
    """The settings of one process. Reading is lock-free and safe from any thread."""

    def __init__(self, models: Mapping[str, SectionModel], sources: Sources) -> None:
        self._models = models
        self._sources = sources
        self._granted: dict[TenantId, dict[str, Any]] = {}
        self._subscribers: dict[type[Any], list[Callable[[Any], None]]] = {}
        self._changing = threading.Lock()
        self._files: set[Path] = {sources.toml_path} if sources.toml_path else set()
        self._on_disk = self._signature()
        self._snapshot, self._file_tenants = self._read()
        self._on_disk = self._signature() | self._on_disk

    @classmethod
    def load(
        cls,
        sections: Iterable[type[Any]],
        *,
        toml_path: Path | None = None,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, str] | None = None,
        strict: bool = True,
    ) -> "ConfigManager":
        """Read and validate all layers; raises one `ConfigInvalidError` with all problems.

        A process that knows only some of the sections passes `strict=False`: names of sections
        it does not know are then none of its business.
        """
        sources = Sources(
            toml_path=toml_path, environ=environ or {}, overrides=overrides or {}, strict=strict
        )
        return cls(section_models(sections), sources)

    def get(self, section: type[T]) -> T:
        """The section as it is now; raises `CONFIG_SECTION_NOT_LOADED`."""
        return self.get_for(None, section)

    def get_for(self, tenant: TenantId | None, section: type[T]) -> T:
        """The section as one tenant sees it now; raises `CONFIG_SECTION_NOT_LOADED`."""
        try:
            return cast("T", self._snapshot.section(section, tenant))
        except KeyError:
            raise CONFIG_SECTION_NOT_LOADED.error(section=section.__qualname__) from None

    def for_tenant(self, tenant: TenantId) -> "TenantConfig":
        """The same settings with the overrides of one tenant; follows every change."""
        return TenantConfig(self, tenant)

    def explain(self, setting: str) -> Provenance:
        """Where the value of `section.field` comes from; raises `CONFIG_UNKNOWN_SETTING`."""
        try:
            return self._snapshot.provenance[setting]
        except KeyError:
            hint = suggestion(setting, setting_keys(self._models))
            raise CONFIG_UNKNOWN_SETTING.error(setting=setting, suggestion=hint) from None

    def explain_all(self) -> dict[str, Provenance]:
        """Every setting with its value and origin; secrets show as a mask."""
        return dict(self._snapshot.provenance)

    def changed_on_disk(self) -> bool:
        """The file, or that of a secret, is not the one that was read last."""
        return self._signature() != self._on_disk

    def reload(self) -> list[Change]:
        """Read all layers again and switch to them at once, or raise and change nothing.

        Settings that are not reloadable keep their value and are reported as not applied.
        Subscribers of changed sections are called after the switch.
        """
        with self._changing:
            self._on_disk = self._signature()
            old = self._snapshot
            new, changes, file_tenants = self._next()
            self._snapshot, self._file_tenants = new, file_tenants
        self._notify(old, new)
        return changes

    def apply_bundle(self, values: Mapping[str, object], source: str) -> list[Change]:
        """Let a bundle's values win over every other layer from now on; an empty map ends that.

        Raises `ConfigInvalidError` and changes nothing when one of them is wrong, unknown or not
        declared `remote`. The signature was checked by who calls.
        """
        before = self._sources
        self._sources = replace(before, bundle=dict(values), bundle_source=source)
        try:
            return self.reload()
        except BaseException:
            self._sources = before
            raise

    def check_bundle(self, values: Mapping[str, object], source: str) -> None:
        """Raise what `apply_bundle` would raise, and change nothing."""
        with self._changing:
            before = self._sources
            self._sources = replace(before, bundle=dict(values), bundle_source=source)
            try:
                self._next()
            finally:
                self._sources = before

    def subscribe(self, section: type[T], callback: Callable[[T], None]) -> Callable[[], None]:
        """Call with the new section after a reload that changed it; the result unsubscribes."""
        self.get(section)
        callbacks = self._subscribers.setdefault(section, [])
        callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in callbacks:
                callbacks.remove(callback)

        return unsubscribe

    def set_tenant_overrides(self, tenant: TenantId, overrides: Mapping[str, object]) -> None:
        """Replace what was granted to one tenant (`section.field` → value), at once.

        It wins over the file; an empty map takes it back. Raises `ConfigInvalidError` and changes
        nothing when a value is wrong.
        """
        with self._changing:
            self._snapshot, self._granted = self._with_overrides(tenant, overrides)

    def check_tenant_overrides(self, tenant: TenantId, overrides: Mapping[str, object]) -> None:
        """Raise what `set_tenant_overrides` would raise, and change nothing."""
        with self._changing:
            self._with_overrides(tenant, overrides)

    def _with_overrides(
        self, tenant: TenantId, overrides: Mapping[str, object]
    ) -> tuple[Snapshot, dict[TenantId, dict[str, Any]]]:
        found = Gathered()
        add_tenant_values(self._models, tenant, overrides, f"tenant {tenant}", found)
        resolver = self._resolver()
        resolver.problems.extend(found.problems)
        granted = {key: value for key, value in self._granted.items() if key != tenant}
        if overrides:
            granted[tenant] = resolver.tenant_values(found.tenants.get(tenant, {}))
        if len(granted) > MAX_TENANTS:
            raise CONFIG_TENANTS_FULL.error(count=len(granted), limit=MAX_TENANTS)
        snapshot = resolver.snapshot(self._snapshot.provenance, self._file_tenants, granted)
        _raise_if_any(resolver.problems)
        return snapshot, granted

    def _read(self) -> tuple[Snapshot, dict[TenantId, dict[str, Any]]]:
        resolver = self._resolver()
        provenance, tenants = resolver.resolve(gather(self._models, self._sources))
        snapshot = resolver.snapshot(provenance, tenants, self._granted)
        _raise_if_any(resolver.problems)
        self._files |= resolver.files
        return snapshot, tenants

    def _next(self) -> tuple[Snapshot, list[Change], dict[TenantId, dict[str, Any]]]:
        """What a switch to the layers as they are now would bring."""
        old = self._snapshot
        fresh, file_tenants = self._read()
        changes = self._changes(old, fresh)
        resolver = self._resolver()
        new = resolver.snapshot(self._kept(old, fresh, changes), file_tenants, self._granted)
        _raise_if_any(resolver.problems)
        return new, changes, file_tenants

    def _resolver(self) -> Resolver:
        return Resolver(models=self._models, environ=self._sources.environ)

    def _changes(self, old: Snapshot, new: Snapshot) -> list[Change]:
        changes: list[Change] = []
        for model in self._models.values():
            for field in model.fields.values():
                before, after = old.provenance[field.key], new.provenance[field.key]
                if before.value != after.value:
                    changes.append(
                        Change(
                            setting=field.key,
                            old=before.value,
                            new=after.value,
                            applied=field.setting.reloadable,
                        )
                    )
        return changes

    def _kept(
        self, old: Snapshot, new: Snapshot, changes: Iterable[Change]
    ) -> dict[str, Provenance]:
        refused = {change.setting for change in changes if not change.applied}
        return {
            key: old.provenance[key] if key in refused else entry
            for key, entry in new.provenance.items()
        }

    def _notify(self, old: Snapshot, new: Snapshot) -> None:
        for section, callbacks in self._subscribers.items():
            current = new.sections[section]
            if current == old.sections[section]:
                continue
            for callback in tuple(callbacks):
                try:
                    callback(current)
                except Exception:  # noqa: BLE001 - the others must hear of the change too
                    _log.exception("a subscriber of [%s] failed", section.SECTION)

    def _signature(self) -> dict[Path, tuple[int, int, int] | None]:
        return {path: _version_of(path) for path in self._files}


@dataclass(frozen=True)
class TenantConfig:
    """The settings of a process as one tenant sees them."""

    manager: ConfigManager
    tenant: TenantId

    def get(self, section: type[T]) -> T:
        """The section with this tenant's overrides, as it is now."""
        return self.manager.get_for(self.tenant, section)


def _version_of(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _raise_if_any(problems: Iterable[Problem]) -> None:
    unique = tuple(dict.fromkeys(problems))
    if unique:
        lines = "\n".join(f"  {problem}" for problem in unique)
        raise ConfigInvalidError(
            CONFIG_INVALID, {"count": len(unique), "problems": lines}, problems=unique
        )
