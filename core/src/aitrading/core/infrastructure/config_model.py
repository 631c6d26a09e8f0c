"""What a setting is, and how a section class is read.

A section is a frozen keyword-only dataclass whose fields carry a `Setting`::

    @dataclass(frozen=True, kw_only=True)
    class SpoolSettings:
        SECTION: ClassVar[str] = "spool"
        limit_mb: Annotated[int, Setting(doc="Largest size on disk.", unit="MB", minimum=1)] = 512
"""

import dataclasses
import re
import types
from collections.abc import Iterable
from dataclasses import MISSING, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Protocol, Union, get_args, get_origin, get_type_hints

from aitrading.core.infrastructure.error_codes import CONFIG_SECTION_MALFORMED
from aitrading.core.kit.secret import Secret

ENV_PREFIX = "AITRADING_"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SCALARS = (bool, int, float, str, Path)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Everything about a field except its type and default.

    `reloadable` settings change while the process runs, `tenant` settings may differ per tenant,
    `remote` ones may be set on a client by a signed bundle of its server, `env` names an
    environment variable other than `AITRADING_<SECTION>_<FIELD>`.
    """

    doc: str
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    secret: bool = False
    reloadable: bool = False
    tenant: bool = False
    remote: bool = False
    env: str | None = None


class Section(Protocol):
    """Any section class; it may also define `problems() -> Iterable[str]` over several fields."""

    SECTION: str


@dataclass(frozen=True, kw_only=True)
class FieldModel:
    """One setting of one section, ready to parse, explain and document."""

    section: str
    name: str
    type: Any
    optional: bool
    default: Any
    setting: Setting

    @property
    def key(self) -> str:
        """`section.field`, the name used on the command line and in messages."""
        return f"{self.section}.{self.name}"

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        return self.setting.env or f"{ENV_PREFIX}{self.section}_{self.name}".upper()

    @property
    def is_secret(self) -> bool:
        """Its value is a reference in every layer and never printed."""
        return self.type is Secret

    @property
    def required(self) -> bool:
        """There is no default: some layer must set it."""
        return self.default is MISSING


@dataclass(frozen=True, kw_only=True)
class SectionModel:
    """One section class and its fields by name."""

    cls: type[Any]
    name: str
    fields: dict[str, FieldModel]


@cache
def section_model(cls: type[Any]) -> SectionModel:
    """Read a section class; raises `CONFIG_SECTION_MALFORMED` when it breaks the rules."""
    name = getattr(cls, "SECTION", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _malformed(cls, "SECTION must be a lower-case name")
    if not dataclasses.is_dataclass(cls) or not _is_frozen(cls):
        raise _malformed(cls, "it must be a frozen dataclass")
    hints = get_type_hints(cls, include_extras=True)
    fields = {
        field.name: _field_model(cls, name, field, hints[field.name])
        for field in dataclasses.fields(cls)
    }
    return SectionModel(cls=cls, name=name, fields=fields)


def section_models(sections: Iterable[type[Any]]) -> dict[str, SectionModel]:
    """Read several section classes; two with one name, or one variable for two settings, fail."""
    models: dict[str, SectionModel] = {}
    variables: dict[str, str] = {}
    for cls in sections:
        model = section_model(cls)
        known = models.setdefault(model.name, model)
        if known.cls is not cls:
            raise _malformed(cls, f"{known.cls.__qualname__} has the name {model.name!r} already")
        for field in model.fields.values():
            if variables.setdefault(field.env, field.key) != field.key:
                raise _malformed(cls, f"{field.env} sets {variables[field.env]} already")
    return models


def _field_model(
    cls: type[Any], section: str, field: "dataclasses.Field[Any]", hint: Any
) -> FieldModel:
    where = f"field {field.name}"
    if get_origin(hint) is not Annotated:
        raise _malformed(cls, f"{where} has no Setting(...)")
    plain, *extras = get_args(hint)
    setting = next((extra for extra in extras if isinstance(extra, Setting)), None)
    if setting is None or not setting.doc:
        raise _malformed(cls, f"{where} has no Setting(doc=...)")
    optional, type_ = _without_none(plain)
    if get_origin(type_) is Secret:
        type_ = Secret
    if type_ not in (*_SCALARS, Secret) and type_ != tuple[str, ...]:
        raise _malformed(cls, f"{where} has the type {type_}, which no layer can express")
    if setting.secret and type_ is not Secret:
        raise _malformed(cls, f"{where} is secret, so its type must be Secret[str]")
    default = field.default
    if default is MISSING and field.default_factory is not MISSING:
        default = field.default_factory()
    return FieldModel(
        section=section,
        name=field.name,
        type=type_,
        optional=optional,
        default=default,
        setting=setting,
    )


def _without_none(hint: Any) -> tuple[bool, Any]:
    if get_origin(hint) not in (Union, types.UnionType):
        return False, hint
    rest = [arg for arg in get_args(hint) if arg is not type(None)]
    if len(rest) != 1:
        return False, hint
    return True, rest[0]


def _is_frozen(cls: type[Any]) -> bool:
    params = getattr(cls, "__dataclass_params__", None)
    return bool(getattr(params, "frozen", False))


def _malformed(cls: type[Any], problem: str) -> Exception:
    return CONFIG_SECTION_MALFORMED.error(section=cls.__qualname__, problem=problem)
