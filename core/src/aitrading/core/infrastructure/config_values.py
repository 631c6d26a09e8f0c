"""From what a layer says to the value a section holds.

A text layer (environment, command line) gives strings, `aitrading.toml` gives typed values. A
secret is a reference in every layer: `file:/path`, `env:NAME` or `cred:name` (a systemd
credential). Every failure is a `ValueError` whose text says what was expected.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from aitrading.core.infrastructure.config_model import FieldModel
from aitrading.core.kit.secret import Secret

CREDENTIALS_FOLDER: Final = "CREDENTIALS_DIRECTORY"
MAX_SECRET_BYTES: Final = 64 * 1024
_TRUE: Final = {"true", "yes", "on", "1"}
_FALSE: Final = {"false", "no", "off", "0"}


def parse(field: FieldModel, raw: object, environ: Mapping[str, str]) -> Any:
    """The value of one setting; raises `ValueError` with the expectation."""
    if field.optional and raw == "" and not field.is_secret:
        return None
    if field.is_secret:
        return _secret(raw, environ)
    value = _typed(field, raw)
    _check_range(field, value)
    _check_choices(field, value)
    return value


def expectation(field: FieldModel) -> str:
    """What a setting accepts, in words: `whole number of ms from 1 to 500`."""
    words = _TYPE_WORDS[field.type]
    if field.setting.unit:
        words += f" of {field.setting.unit}"
    if field.setting.choices:
        words += f", one of: {', '.join(field.setting.choices)}"
    return words + _range_words(field)


def _unexpected(field: FieldModel) -> ValueError:
    return ValueError(f"expected a {expectation(field)}")


def _range_words(field: FieldModel) -> str:
    low, high = field.setting.minimum, field.setting.maximum
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f", at least {low:g}"
    if high is not None:
        return f", at most {high:g}"
    return ""


def _typed(field: FieldModel, raw: object) -> Any:
    try:
        if isinstance(raw, str):
            return _FROM_TEXT[field.type](raw)
        return _from_toml(field.type, raw)
    except ValueError:
        raise _unexpected(field) from None


def _from_toml(type_: Any, raw: object) -> Any:
    if isinstance(raw, bool):
        if type_ is bool:
            return raw
    elif type_ is int and isinstance(raw, int):
        return raw
    elif type_ is float and isinstance(raw, int | float):
        return _finite(raw)
    elif type_ == tuple[str, ...] and isinstance(raw, list):
        items = cast("list[object]", raw)
        if all(isinstance(item, str) for item in items):
            return tuple(cast("list[str]", items))
    raise ValueError(str(type_))


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(text)


def _finite(number: float | str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(number)
    return value


def _path(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise ValueError(text)
    return Path(text).expanduser()


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _check_range(field: FieldModel, value: Any) -> None:
    if field.type not in (int, float):
        return
    low, high = field.setting.minimum, field.setting.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        raise _unexpected(field)


def _check_choices(field: FieldModel, value: Any) -> None:
    choices = field.setting.choices
    if not choices:
        return
    for item in cast("tuple[str, ...]", value) if isinstance(value, tuple) else (str(value),):
        if item not in choices:
            raise _unexpected(field)


def split_reference(raw: object) -> tuple[str, str]:
    """Kind and target of a reference to a secret; raises `ValueError` for a literal."""
    kind, colon, target = raw.partition(":") if isinstance(raw, str) else ("", "", "")
    if kind not in _REFERENCES or not colon or not target:
        raise ValueError(
            "a secret is never written here: give a reference, file:/path, env:NAME or cred:name"
        )
    return kind, target


def secret_file(raw: object, environ: Mapping[str, str]) -> Path | None:
    """The file a reference leads to; None for the environment and for what is no reference."""
    try:
        kind, target = split_reference(raw)
    except ValueError:
        return None
    if kind == "file":
        return Path(target).expanduser()
    folder = environ.get(CREDENTIALS_FOLDER)
    return Path(folder) / target if kind == "cred" and folder else None


def _secret(raw: object, environ: Mapping[str, str]) -> Secret[str]:
    kind, target = split_reference(raw)
    return Secret(_REFERENCES[kind](target, environ))


def _secret_of_file(path: str, _environ: Mapping[str, str]) -> str:
    file = Path(path).expanduser()
    try:
        data = file.read_bytes()
        if len(data) > MAX_SECRET_BYTES:
            raise ValueError(f"{file} is larger than {MAX_SECRET_BYTES} bytes, not a secret")
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8 text") from None
    except OSError as exc:
        raise ValueError(f"{file} cannot be read: {exc.strerror}") from None
    if not text.strip():
        raise ValueError(f"{file} is empty")
    return text.rstrip("\r\n")


def _secret_of_env(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if not value:
        raise ValueError(f"the environment variable {name} is not set")
    return value


def _secret_of_credential(name: str, environ: Mapping[str, str]) -> str:
    folder = environ.get(CREDENTIALS_FOLDER)
    if not folder:
        raise ValueError(f"cred:{name} needs systemd: {CREDENTIALS_FOLDER} is not set")
    if Path(name).name != name:
        raise ValueError(f"cred:{name} is not the name of a credential")
    return _secret_of_file(str(Path(folder) / name), environ)


_REFERENCES: Final[dict[str, Callable[[str, Mapping[str, str]], str]]] = {
    "file": _secret_of_file,
    "env": _secret_of_env,
    "cred": _secret_of_credential,
}
_FROM_TEXT: Final[dict[Any, Callable[[str], Any]]] = {
    bool: _boolean,
    int: lambda text: int(text.strip()),
    float: _finite,
    str: str,
    Path: _path,
    tuple[str, ...]: _items,
}
_TYPE_WORDS: Final[dict[Any, str]] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    Secret: "reference to a secret (file:/path, env:NAME, cred:name)",
    tuple[str, ...]: "list of texts",
}
