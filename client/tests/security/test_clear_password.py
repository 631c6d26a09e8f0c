"""A password in the clear is refused with its place, and never repeated."""

from pathlib import Path

import pytest

from aitrading.client.security.clear_password import require_no_password
from aitrading.core.kit.errors import AitradingError

CANARY = "canary-4711"


def refused(environ: dict[str, str], path: Path) -> AitradingError:
    with pytest.raises(AitradingError) as told:
        require_no_password(environ, path)
    assert told.value.code == "CREDENTIALS_IN_CLEAR"
    assert CANARY not in repr(told.value) + told.value.message
    assert "credentials set" in told.value.spec.remedy
    return told.value


@pytest.mark.parametrize("name", ["MT5_PASSWORD", "AITRADING_TERMINAL_LOGIN_PASSWORD"])
def test_in_the_environment(home: Path, name: str) -> None:
    assert name in refused({name: CANARY}, home / "aitrading.toml").message
    require_no_password({name: ""}, home / "aitrading.toml")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f'MT5_PASSWORD = "{CANARY}"\n', "`MT5_PASSWORD`"),
        (f'[terminal_login]\npassword = "{CANARY}"\n', "`terminal_login.password`"),
        (f'[connector]\nmt5_password = "{CANARY}"\n', "`connector.mt5_password`"),
    ],
)
def test_in_the_file(home: Path, text: str, place: str) -> None:
    path = home / "aitrading.toml"
    path.write_text(text)
    assert place in refused({}, path).message


@pytest.mark.parametrize(
    "text", ["", "[terminal_login]\nlogin = 5\n", "terminal_login = 3\n", "= ["]
)
def test_other_files_are_none_of_its_business(home: Path, text: str) -> None:
    path = home / "aitrading.toml"
    path.write_text(text)
    require_no_password({"MT5_LOGIN": "5"}, path)
    require_no_password({}, home / "missing.toml")
