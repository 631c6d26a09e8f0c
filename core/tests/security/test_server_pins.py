"""A set of server keys counts only as the pinned authority signed it."""

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.server_pins import (
    ServerPins,
    SignedPins,
    open_pins,
    pins_message,
    sealed_pins,
)
from aitrading.core.testing.throwaway_ca import ThrowawayCa

CA = ThrowawayCa()
PINS = ServerPins(version=2, keys=("ab" * 32, "cd" * 32))


def signed(pins: ServerPins = PINS, ca: ThrowawayCa = CA, text: str | None = None) -> SignedPins:
    content = text if text is not None else pins.text()
    return SignedPins(
        content=content, signature=sealed_pins(pins, ca.key.sign(pins_message(content))).signature
    )


def test_what_the_authority_signed_is_believed() -> None:
    assert open_pins(signed(), authority_pem=CA.pem) == PINS


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (signed(ca=ThrowawayCa()), "not signed"),
        (SignedPins(content=signed().content.replace("ab", "ac", 1), signature=signed().signature), "not signed"),
        (signed(text=PINS.text().replace(",", ", ")), "canonical"),
        (signed(text='{"version":0,"keys":["' + "ab" * 32 + '"]}'), "written"),
        (signed(text='{"version":3,"keys":[]}'), "written"),
        (SignedPins(content=PINS.text(), signature="*"), "base64url"),
        (SignedPins(content=PINS.text(), signature="A" * 10_000), "too long"),
        (SignedPins(content="x" * 10_000, signature=signed().signature), "too long"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(wrong: SignedPins, reason: str) -> None:
    with pytest.raises(AitradingError) as caught:
        open_pins(wrong, authority_pem=CA.pem)
    assert caught.value.code == "SERVER_PINS_REFUSED"
    assert reason in caught.value.message
