"""Names, values, field orders and layouts are those of the real package, one test per group."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from aitrading.client.terminal.api import errors
from aitrading.client.terminal.api.arrays import RATES_DTYPE, TICKS_DTYPE
from aitrading.client.terminal.api.constants import CONSTANTS
from aitrading.client.terminal.api.structs import STRUCTS

SPEC: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_name("spec").joinpath("metatrader5.json").read_text()
)
_GROUPS: Final = (
    "ACCOUNT_MARGIN_MODE",
    "ACCOUNT_STOPOUT_MODE",
    "ACCOUNT_TRADE_MODE",
    "BOOK_TYPE",
    "COPY_TICKS",
    "DAY_OF_WEEK",
    "DEAL_ENTRY",
    "DEAL_REASON",
    "DEAL",
    "ORDER_FILLING",
    "ORDER_REASON",
    "ORDER_STATE",
    "ORDER_TIME",
    "ORDER_TYPE",
    "POSITION_REASON",
    "POSITION_TYPE",
    "RES",
    "SYMBOL_CALC_MODE",
    "SYMBOL_CHART_MODE",
    "SYMBOL_OPTION_MODE",
    "SYMBOL_OPTION_RIGHT",
    "SYMBOL_ORDERS",
    "SYMBOL_SWAP_MODE",
    "SYMBOL_TRADE_EXECUTION",
    "SYMBOL_TRADE_MODE",
    "TICK_FLAG",
    "TIMEFRAME",
    "TRADE_ACTION",
    "TRADE_RETCODE",
)


def constant_groups() -> Mapping[str, dict[str, int]]:
    """Every constant, in the group its name begins with."""
    groups: dict[str, dict[str, int]] = {group: {} for group in _GROUPS}
    for name, value in SPEC["constants"].items():
        group = next(one for one in _GROUPS if name.startswith(f"{one}_"))
        groups[group][name] = value
    return groups


GROUPS: Final = constant_groups()


@pytest.mark.parametrize("group", GROUPS)
def test_constants_of_a_group(group: str) -> None:
    ours = {name: value for name, value in CONSTANTS.items() if name in GROUPS[group]}
    assert ours == GROUPS[group]
    assert ours


def test_no_constant_is_missing_or_invented() -> None:
    assert CONSTANTS.keys() == SPEC["constants"].keys()
    assert len(CONSTANTS) == 223


@pytest.mark.parametrize("name", SPEC["structs"])
def test_fields_of_a_struct(name: str) -> None:
    struct = next(one for one in STRUCTS if one.__name__ == name)
    fields = SPEC["structs"][name]
    assert list(struct._fields) == fields
    value = struct(*range(len(fields)))  # type: ignore[call-arg]
    assert value[3] == 3
    assert value._asdict() == dict(zip(fields, range(len(fields)), strict=True))
    assert repr(value).startswith(f"{name}({fields[0]}=0, {fields[1]}=1, ")


@pytest.mark.parametrize(("name", "ours"), [("rates", RATES_DTYPE), ("ticks", TICKS_DTYPE)])
def test_layout_of_an_array(name: str, ours: np.dtype[np.void]) -> None:
    assert ours.descr == [(field, kind) for field, kind in SPEC["dtypes"][name]]


def _our_texts() -> dict[int, set[str]]:
    texts: dict[int, set[str]] = {}
    ours = [one for one in vars(errors).values() if isinstance(one, tuple) and len(one) == 2]
    ours += [errors.invalid_unnamed(place) for place in range(4)]
    ours.append(errors.initialize_failed("MetaTrader 5 x64 not found"))
    for code, text in ours:
        texts.setdefault(code, set()).add(text)
    return texts


@pytest.mark.parametrize("code", SPEC["errors"])
def test_texts_of_an_error(code: str) -> None:
    assert _our_texts()[int(code)] == set(SPEC["errors"][code])


@pytest.mark.parametrize("name", SPEC["argument_names"])
def test_text_of_a_wrong_argument(name: str) -> None:
    assert errors.invalid_argument(name) == (-2, f'Invalid "{name}" argument')
