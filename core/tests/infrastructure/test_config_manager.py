"""Typed settings in layers, with provenance, reload, tenants and secrets."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.infrastructure.config_manager import (
    Change,
    ConfigInvalidError,
    ConfigManager,
    Layer,
    Setting,
    reference_markdown,
)
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.secret import Secret

ALPHA, BETA = TenantId(UUID(int=1)), TenantId(UUID(int=2))


@dataclass(frozen=True, kw_only=True)
class SpoolSettings:
    """The spool."""

    SECTION: ClassVar[str] = "spool"

    limit_mb: Annotated[
        int, Setting(doc="Largest size on disk.", unit="MB", minimum=1, maximum=1000)
    ] = 512
    window_ms: Annotated[
        float,
        Setting(doc="Time to wait.", unit="ms", minimum=0, reloadable=True, tenant=True),
    ] = 2.5
    folder: Annotated[Path, Setting(doc="Where it lies.")] = Path("spool")
    mode: Annotated[
        str, Setting(doc="How it syncs.", choices=("group", "each"), reloadable=True)
    ] = "group"
    fsync: Annotated[bool, Setting(doc="Whether it syncs.")] = True
    symbols: Annotated[tuple[str, ...], Setting(doc="What it takes.", tenant=True)] = ("EURUSD",)
    password: Annotated[Secret[str] | None, Setting(doc="Opens it.", reloadable=True)] = None


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    SECTION: ClassVar[str] = "store"

    url: Annotated[str | None, Setting(doc="Where.", env="STORE_URL")] = None
    low: Annotated[int, Setting(doc="Low mark.", reloadable=True)] = 1
    high: Annotated[int, Setting(doc="High mark.", reloadable=True)] = 9

    def problems(self) -> Iterable[str]:
        if self.low > self.high:
            yield f"low ({self.low}) is above high ({self.high})"


@dataclass(frozen=True, kw_only=True)
class NeedySettings:
    SECTION: ClassVar[str] = "needy"

    region: Annotated[str, Setting(doc="Has no default.")]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def load(*sections: type[Any], **options: Any) -> ConfigManager:
    return ConfigManager.load(sections or (SpoolSettings, StoreSettings), **options)


def problems_of(**options: Any) -> str:
    with pytest.raises(ConfigInvalidError) as refused:
        load(**options)
    assert refused.value.code == "CONFIG_INVALID"
    assert refused.value.fields["count"] == len(refused.value.problems)
    return str(refused.value)


def test_inf_11_each_layer_wins_over_the_weaker_ones(tmp_path: Path) -> None:
    file = write(
        tmp_path / "aitrading.toml", "[spool]\nlimit_mb = 2\nwindow_ms = 3\nmode = 'each'"
    )
    environ = {"AITRADING_SPOOL_LIMIT_MB": "3", "AITRADING_SPOOL_WINDOW_MS": "4"}
    manager = load(toml_path=file, environ=environ, overrides={"spool.limit_mb": "4"})
    spool = manager.get(SpoolSettings)
    assert (spool.limit_mb, spool.window_ms, spool.mode, spool.fsync) == (4, 4.0, "each", True)

    limit = manager.explain("spool.limit_mb")
    assert (limit.value, limit.layer, limit.source) == (
        4,
        Layer.COMMAND_LINE,
        "--set spool.limit_mb",
    )
    assert limit.shadowed == (
        "default",
        str(file),
        "environment variable AITRADING_SPOOL_LIMIT_MB",
    )
    assert manager.explain("spool.window_ms").layer is Layer.ENVIRONMENT
    assert manager.explain("spool.mode").layer is Layer.FILE
    assert manager.explain("spool.fsync").layer is Layer.DEFAULT
    assert set(manager.explain_all()) >= {"spool.limit_mb", "store.url"}


def test_inf_19_an_explicit_environment_name_replaces_the_derived_one() -> None:
    manager = load(environ={"STORE_URL": "postgresql://db"})
    assert manager.get(StoreSettings).url == "postgresql://db"
    assert "AITRADING_STORE_URL" in problems_of(environ={"AITRADING_STORE_URL": "x"})


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("limit_mb", " 1_0 ", 10),
        ("window_ms", "1e1", 10.0),
        ("fsync", "Off", False),
        ("fsync", "1", True),
        ("folder", "/a/b", Path("/a/b")),
        ("symbols", "A, B,,C", ("A", "B", "C")),
        ("symbols", "", ()),
        ("mode", "each", "each"),
    ],
)
def test_text_becomes_the_declared_type(key: str, text: str, value: object) -> None:
    manager = load(environ={f"AITRADING_SPOOL_{key.upper()}": text})
    assert getattr(manager.get(SpoolSettings), key) == value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("limit_mb", "1.5"),
        ("limit_mb", "0"),
        ("limit_mb", "1001"),
        ("limit_mb", ""),
        ("window_ms", "nan"),
        ("window_ms", "inf"),
        ("window_ms", "-1"),
        ("fsync", "maybe"),
        ("folder", " "),
        ("mode", "never"),
    ],
)
def test_text_that_does_not_fit_is_refused_with_the_expectation(key: str, text: str) -> None:
    message = problems_of(environ={f"AITRADING_SPOOL_{key.upper()}": text})
    assert f"spool.{key}" in message
    assert "expected a" in message
    assert repr(text) in message


@pytest.mark.parametrize("value", ["'5'", "5.5", "true", "[5]", "{a = 5}", "2020-01-01"])
def test_the_file_must_have_the_declared_type(tmp_path: Path, value: str) -> None:
    file = write(tmp_path / "aitrading.toml", f"[spool]\nlimit_mb = {value}\n")
    if value == "'5'":
        assert load(toml_path=file).get(SpoolSettings).limit_mb == 5
    else:
        assert "spool.limit_mb" in problems_of(toml_path=file)


def test_all_problems_are_told_at_once_with_suggestions(tmp_path: Path) -> None:
    text = "[spool]\nlimit_mb = 0\nfolde = 'x'\nsymbols = [1]\n[stor]\nlow = 1\n[store]\nlow = 10"
    file = write(tmp_path / "aitrading.toml", text)
    message = problems_of(
        toml_path=file,
        environ={"AITRADING_SPOOL_MODE": "no", "AITRADING_SPOOL_FSINK": "1"},
        overrides={"spool.fsync": "perhaps", "spol.mode": "each", "spool.password": "hunter2"},
    )
    for part in (
        "spool.limit_mb",
        "spool.folde",
        "did you mean folder?",
        "spool.symbols",
        "[stor]; did you mean store?",
        "AITRADING_SPOOL_FSINK",
        "did you mean AITRADING_SPOOL_FSYNC?",
        "spool.mode",
        "spool.fsync",
        "did you mean spool.mode?",
        "spool.password",
    ):
        assert part in message
    assert "hunter2" not in message


def test_settings_of_other_services_are_none_of_our_business(tmp_path: Path) -> None:
    file = write(tmp_path / "aitrading.toml", "[bridge]\nx = 1\n[tenant.x]\n")
    environ = {"AITRADING_SPOOL_OF_SOMEBODY_ELSE": "1"}
    assert "tenant.x" in problems_of(toml_path=file, strict=False)
    write(file, "[bridge]\nx = 1\n")
    manager = load(toml_path=file, environ=environ, overrides={"bridge.y": "2"}, strict=False)
    assert manager.get(SpoolSettings) == SpoolSettings()
    assert "spool.x" in problems_of(overrides={"spool.x": "2"}, strict=False)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[spool\n", "not valid TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"spool = 3", "must be a table"),
        (b"# " + b"x" * (1024 * 1024), "larger than"),
        (None, "cannot be read"),
    ],
)
def test_a_damaged_file_is_told_like_any_other_problem(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    file = tmp_path / "aitrading.toml"
    if content is not None:
        file.write_bytes(content)
    assert expected in problems_of(toml_path=file)


def test_settings_that_contradict_each_other_are_refused() -> None:
    assert "low (9) is above high (2)" in problems_of(
        overrides={"store.low": "9", "store.high": "2"}
    )


def test_a_required_setting_names_its_variable() -> None:
    with pytest.raises(ConfigInvalidError, match="AITRADING_NEEDY_REGION"):
        load(NeedySettings)
    assert load(NeedySettings, overrides={"needy.region": "eu"}).get(NeedySettings).region == "eu"


def test_secrets_are_references(tmp_path: Path) -> None:
    file = write(tmp_path / "password", "s3cret\n")
    by_file = load(overrides={"spool.password": f"file:{file}"})
    by_name = load(overrides={"spool.password": "env:PW"}, environ={"PW": "s3cret"})
    by_credential = load(
        overrides={"spool.password": "cred:password"},
        environ={"CREDENTIALS_DIRECTORY": str(tmp_path)},
    )
    for manager in (by_file, by_name, by_credential):
        password = manager.get(SpoolSettings).password
        assert password == Secret("s3cret")
        assert "s3cret" not in repr(manager.get(SpoolSettings))
        assert "s3cret" not in repr(manager.explain("spool.password"))


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("hunter2", "never written here"),
        ("vault:hunter2", "never written here"),
        ("file:", "never written here"),
        ("file:/does/not/exist", "No such file"),
        ("env:NOT_SET", "NOT_SET is not set"),
        ("cred:x", "CREDENTIALS_DIRECTORY is not set"),
        ("", "never written here"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(reference: str, expected: str) -> None:
    message = problems_of(overrides={"spool.password": reference})
    assert expected in message
    assert "hunter2" not in message


def test_a_credential_name_cannot_leave_its_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    write(tmp_path / "outside", "x")
    environ = {"CREDENTIALS_DIRECTORY": str(inside)}
    message = problems_of(overrides={"spool.password": "cred:../outside"}, environ=environ)
    assert "not the name of a credential" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "empty"), (b"\xff", "UTF-8"), (b"x" * 70_000, "larger than")],
)
def test_a_secret_file_must_hold_a_secret(tmp_path: Path, content: bytes, expected: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert expected in problems_of(overrides={"spool.password": f"file:{file}"})


def test_a_literal_secret_is_found_even_where_a_stronger_layer_hides_it(tmp_path: Path) -> None:
    file = write(tmp_path / "aitrading.toml", "[spool]\npassword = 'hunter2'\n")
    message = problems_of(
        toml_path=file, environ={"AITRADING_SPOOL_PASSWORD": "env:PW", "PW": "x"}
    )
    assert "never written here" in message
    assert "hunter2" not in message


def test_reload_changes_what_may_change_and_reports_the_rest(tmp_path: Path) -> None:
    file = write(tmp_path / "aitrading.toml", "[spool]\nlimit_mb = 5\nwindow_ms = 1\n")
    manager = load(toml_path=file)
    heard: list[SpoolSettings] = []
    stop_listening = manager.subscribe(SpoolSettings, heard.append)
    manager.subscribe(StoreSettings, lambda _: heard.append(SpoolSettings(limit_mb=999)))

    write(file, "[spool]\nlimit_mb = 6\nwindow_ms = 2\n")
    assert manager.reload() == [
        Change(setting="spool.limit_mb", old=5, new=6, applied=False),
        Change(setting="spool.window_ms", old=1.0, new=2.0, applied=True),
    ]
    spool = manager.get(SpoolSettings)
    assert (spool.limit_mb, spool.window_ms) == (5, 2.0)
    assert manager.explain("spool.limit_mb").value == 5
    assert heard == [spool]

    stop_listening()
    write(file, "[spool]\nlimit_mb = 6\nwindow_ms = 3\n")
    manager.reload()
    assert len(heard) == 1
    assert [change.setting for change in manager.reload()] == ["spool.limit_mb"]


def test_a_wrong_reload_changes_nothing_at_all(tmp_path: Path) -> None:
    file = write(tmp_path / "aitrading.toml", "[spool]\nwindow_ms = 1\n")
    manager = load(toml_path=file)
    before = manager.get(SpoolSettings)
    write(file, "[spool]\nwindow_ms = 2\nmode = 'never'\n")
    with pytest.raises(ConfigInvalidError):
        manager.reload()
    assert manager.get(SpoolSettings) is before
    write(file, "[store]\nlow = 20\n")
    with pytest.raises(ConfigInvalidError, match="above high"):
        manager.reload()
    assert manager.get(SpoolSettings) is before


def test_readers_in_other_threads_never_see_half_a_reload(tmp_path: Path) -> None:
    file = write(tmp_path / "aitrading.toml", "[store]\nlow = 1\nhigh = 1\n")
    manager = load(toml_path=file)
    torn: list[StoreSettings] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            store = manager.get(StoreSettings)
            if store.low != store.high:
                torn.append(store)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for number in range(50):
            write(file, f"[store]\nlow = {number}\nhigh = {number}\n")
            manager.reload()
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert torn == []
    assert manager.get(StoreSettings).low == 49


def test_a_failing_subscriber_does_not_keep_others_from_hearing(tmp_path: Path) -> None:
    file = write(tmp_path / "aitrading.toml", "[spool]\nwindow_ms = 1\n")
    manager = load(toml_path=file)
    heard: list[SpoolSettings] = []

    def fail(_: SpoolSettings) -> None:
        raise LookupError("broken subscriber")

    manager.subscribe(SpoolSettings, fail)
    manager.subscribe(SpoolSettings, heard.append)
    write(file, "[spool]\nwindow_ms = 2\n")
    manager.reload()
    assert [spool.window_ms for spool in heard] == [2.0]


def test_a_rotated_secret_is_a_change(tmp_path: Path) -> None:
    secret = write(tmp_path / "password", "old")
    manager = load(overrides={"spool.password": f"file:{secret}"})
    assert not manager.changed_on_disk()
    write(secret, "rotated")
    assert manager.changed_on_disk()
    (change,) = manager.reload()
    assert change.applied
    assert "rotated" not in repr(change)
    assert manager.get(SpoolSettings).password == Secret("rotated")
    assert not manager.changed_on_disk()


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    file = write(tmp_path / "aitrading.toml", "[spool]\nwindow_ms = 1\n")
    manager = load(toml_path=file)
    assert not manager.changed_on_disk()
    replacement = write(tmp_path / "new", "[spool]\nwindow_ms = 2\n")
    replacement.replace(file)
    assert manager.changed_on_disk()
    manager.reload()
    assert not manager.changed_on_disk()
    assert not load().changed_on_disk()


def test_tenants_differ_only_where_they_may(tmp_path: Path) -> None:
    text = f"[spool]\nwindow_ms = 1\n[tenant.{ALPHA}.spool]\nwindow_ms = 7\nsymbols = ['X']\n"
    file = write(tmp_path / "aitrading.toml", text)
    manager = load(toml_path=file)
    alpha, beta = manager.for_tenant(ALPHA), manager.for_tenant(BETA)
    assert alpha.get(SpoolSettings).window_ms == 7
    assert alpha.get(SpoolSettings).symbols == ("X",)
    assert beta.get(SpoolSettings) == manager.get(SpoolSettings)

    manager.set_tenant_overrides(ALPHA, {"spool.window_ms": "9"})
    assert alpha.get(SpoolSettings).window_ms == 9
    assert alpha.get(SpoolSettings).symbols == ("X",)

    write(file, text.replace("window_ms = 1", "window_ms = 2"))
    manager.reload()
    assert beta.get(SpoolSettings).window_ms == 2
    assert alpha.get(SpoolSettings).window_ms == 9
    manager.set_tenant_overrides(ALPHA, {})
    assert alpha.get(SpoolSettings).window_ms == 7


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"spool.limit_mb": 5}, "the same for all tenants"),
        ({"spool.window_mss": 5}, "did you mean spool.window_ms?"),
        ({"spool.window_ms": -5}, "at least 0"),
    ],
)
def test_wrong_tenant_overrides_change_nothing(overrides: dict[str, Any], expected: str) -> None:
    manager = load()
    manager.set_tenant_overrides(ALPHA, {"spool.window_ms": 5})
    with pytest.raises(ConfigInvalidError, match=expected.replace("?", r"\?")):
        manager.set_tenant_overrides(ALPHA, overrides)
    assert manager.for_tenant(ALPHA).get(SpoolSettings).window_ms == 5


def test_unknown_names_are_told_with_a_suggestion() -> None:
    manager = load(SpoolSettings)
    with pytest.raises(AitradingError, match=r"did you mean spool\.limit_mb\?"):
        manager.explain("spool.limit")
    with pytest.raises(AitradingError) as refused:
        manager.get(StoreSettings)
    assert refused.value.code == "CONFIG_SECTION_NOT_LOADED"


def section(**members: Any) -> type[Any]:
    members.setdefault("SECTION", "x")
    cls = type("Broken", (), {"__annotations__": {"SECTION": ClassVar[str]}, **members})
    return dataclass(frozen=True, kw_only=True)(cls)


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (type("NoName", (), {}), "SECTION"),
        (type("Plain", (), {"SECTION": "x"}), "frozen dataclass"),
        (section(__annotations__={"a": int}, a=1), "no Setting"),
        (section(__annotations__={"a": Annotated[int, "x"]}, a=1), "doc"),
        (section(__annotations__={"a": Annotated[dict, Setting(doc="x")]}, a=1), "type"),
        (
            section(__annotations__={"a": Annotated[str, Setting(doc="x", secret=True)]}, a="x"),
            "must be Secret",
        ),
    ],
)
def test_a_badly_declared_section_is_refused(cls: type[Any], expected: str) -> None:
    with pytest.raises(AitradingError, match=expected) as refused:
        load(cls)
    assert refused.value.code == "CONFIG_SECTION_MALFORMED"


def test_two_sections_of_one_name_are_refused() -> None:
    first = section(__annotations__={"a": Annotated[int, Setting(doc="x")]}, a=1)
    second = section(__annotations__={"a": Annotated[int, Setting(doc="x")]}, a=1)
    with pytest.raises(AitradingError, match="already"):
        load(first, second)


def test_the_reference_lists_every_setting_with_its_rules() -> None:
    text = reference_markdown([StoreSettings, SpoolSettings])
    assert text.index("## `[spool]`") < text.index("## `[store]`")
    assert "whole number of MB from 1 to 1000" in text
    assert "`AITRADING_SPOOL_LIMIT_MB`" in text
    assert "`STORE_URL`" in text
    assert "while running, per tenant" in text
    for name in ("limit_mb", "window_ms", "folder", "mode", "fsync", "symbols", "password"):
        assert f"`spool.{name}`" in text


@given(value=st.integers() | st.floats() | st.text(max_size=20) | st.booleans())
def test_whatever_is_given_is_taken_exactly_or_refused(value: Any) -> None:
    try:
        limit = load(overrides={"spool.limit_mb": str(value)}).get(SpoolSettings).limit_mb
    except ConfigInvalidError as exc:
        refused = [problem.setting for problem in exc.problems]
    else:
        refused = []
        assert 1 <= limit <= 1000
        assert limit == int(str(value))
    assert refused in ([], ["spool.limit_mb"])
