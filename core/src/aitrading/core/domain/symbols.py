"""What a broker's symbol stands for: `EURUSDm`, `EURUSD.r` and `#EURUSD` are all EURUSD.

The broker's spelling is never changed where a terminal is asked; a canonical symbol is for
calendars and for people. A name that is not certainly understood has none.
"""

import re
from enum import StrEnum
from typing import Final, NamedTuple


class InstrumentClass(StrEnum):
    """Instruments that trade at the same hours."""

    FOREX = "forex"
    METALS = "metals"
    INDICES = "indices"
    CRYPTO = "crypto"
    ENERGIES = "energies"
    STOCKS = "stocks"


class Canonical(NamedTuple):
    """The symbol without the broker's decorations, and its class."""

    symbol: str
    kind: InstrumentClass


_CURRENCIES: Final = frozenset(
    [
        "USD",
        "EUR",
        "GBP",
        "JPY",
        "CHF",
        "AUD",
        "NZD",
        "CAD",
        "SEK",
        "NOK",
        "DKK",
        "PLN",
        "CZK",
        "HUF",
        "TRY",
        "ZAR",
        "MXN",
        "SGD",
        "HKD",
        "CNH",
        "CNY",
        "THB",
        "INR",
        "ILS",
        "RON",
        "BRL",
        "KRW",
    ]
)
_METALS: Final = frozenset(["XAU", "XAG", "XPT", "XPD"])
_CRYPTO: Final = frozenset(
    [
        "BTC",
        "ETH",
        "LTC",
        "XRP",
        "BCH",
        "ADA",
        "SOL",
        "DOT",
        "DOGE",
        "BNB",
        "LINK",
        "XLM",
        "AVAX",
        "UNI",
        "EOS",
        "XMR",
        "TRX",
        "MATIC",
        "ATOM",
    ]
)
_QUOTES_OF_CRYPTO: Final = ("USDT", "USDC", "USD", "EUR", "JPY", "GBP", "BTC")
_NAMED: Final = {
    **dict.fromkeys(("GOLD",), Canonical("XAUUSD", InstrumentClass.METALS)),
    **dict.fromkeys(("SILVER",), Canonical("XAGUSD", InstrumentClass.METALS)),
    **dict.fromkeys(
        ("USOIL", "XTIUSD", "WTI", "USOUSD", "WTIUSD", "CRUDE", "CRUDEOIL", "OILUSD"),
        Canonical("WTI", InstrumentClass.ENERGIES),
    ),
    **dict.fromkeys(
        ("UKOIL", "XBRUSD", "BRENT", "UKOUSD", "BRENTUSD"),
        Canonical("BRENT", InstrumentClass.ENERGIES),
    ),
    **dict.fromkeys(
        ("NGAS", "XNGUSD", "NATGAS", "NATGASUSD"), Canonical("NATGAS", InstrumentClass.ENERGIES)
    ),
    **dict.fromkeys(
        ("US500", "SPX500", "SP500", "SPX500USD", "USA500"),
        Canonical("US500", InstrumentClass.INDICES),
    ),
    **dict.fromkeys(
        ("US100", "NAS100", "USTEC", "NDX100", "NAS100USD", "USTECH100"),
        Canonical("US100", InstrumentClass.INDICES),
    ),
    **dict.fromkeys(
        ("US30", "DJ30", "WS30", "US30USD", "DOW30"), Canonical("US30", InstrumentClass.INDICES)
    ),
    **dict.fromkeys(
        ("US2000", "RUSS2000", "RTY2000"), Canonical("US2000", InstrumentClass.INDICES)
    ),
    **dict.fromkeys(
        ("GER40", "DE40", "DAX40", "GER30", "DE30"), Canonical("DE40", InstrumentClass.INDICES)
    ),
    **dict.fromkeys(("UK100", "FTSE100"), Canonical("UK100", InstrumentClass.INDICES)),
    **dict.fromkeys(("JP225", "JPN225", "NIKKEI225"), Canonical("JP225", InstrumentClass.INDICES)),
    **dict.fromkeys(("EU50", "EUSTX50", "STOXX50"), Canonical("EU50", InstrumentClass.INDICES)),
    **dict.fromkeys(("FRA40", "FR40", "CAC40"), Canonical("FR40", InstrumentClass.INDICES)),
    **dict.fromkeys(("AUS200", "AU200"), Canonical("AU200", InstrumentClass.INDICES)),
}
_DECORATION: Final = re.compile(r"|[._\-+!^$#&~/][A-Za-z0-9._\-+!^$#]{0,12}|[a-z]{1,5}", re.ASCII)
"""What brokers put behind a symbol: nothing, a sign and some more, or small letters."""
_STOCK: Final = re.compile(r"#?([A-Z]{1,5})\.(?:US|NAS|NYSE|NASDAQ|OQ|NYS)", re.ASCII)
_PREFIXES: Final = ("#", ".", "_")


def canonical_of(symbol: str) -> Canonical | None:
    """What the name certainly stands for; None when it could be something else."""
    stock = _STOCK.fullmatch(symbol)
    if stock:
        return Canonical(stock[1], InstrumentClass.STOCKS)
    bare = symbol[1:] if symbol.startswith(_PREFIXES) else symbol
    for size in range(len(bare), 2, -1):
        found = _exactly(bare[:size])
        if found and _DECORATION.fullmatch(bare[size:]):
            return found
    return None


def _exactly(name: str) -> Canonical | None:
    if name != name.upper():
        return None
    if name in _NAMED:
        return _NAMED[name]
    base, quote = name[:3], name[3:]
    if quote in _CURRENCIES:
        if base in _CURRENCIES and base != quote:
            return Canonical(name, InstrumentClass.FOREX)
        if base in _METALS:
            return Canonical(name, InstrumentClass.METALS)
    for quote in _QUOTES_OF_CRYPTO:
        if name.endswith(quote) and name.removesuffix(quote) in _CRYPTO:
            return Canonical(name, InstrumentClass.CRYPTO)
    return None
