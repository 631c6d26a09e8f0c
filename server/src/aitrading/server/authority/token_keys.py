"""Which user key signs, which are published, and until when: the life of a token key.

A key is *staged* (published, signs nothing yet), then it *signs*, then it is *retiring* (published
until the last token it signed is over), then it is gone from the published set. The state is one
file beside the published keys, replaced whole; without it the newest key signs, as at first.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.security.claims import USER_TOKEN_LIFETIME_S
from aitrading.core.security.jwt_manager import LEEWAY_S
from aitrading.server.authority.errors import TOKEN_KEYS_DAMAGED

PREFIX: Final = "user-token-"
OVERLAP_S: Final = USER_TOKEN_LIFETIME_S + 2 * LEEWAY_S + 30
"""A token, both sides' leeway, and a clock that is a little off."""
STATE_FILE: Final = "user-keys.life.json"


class _Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    signing: str
    retiring: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class TokenKeyLife:
    """The names of the keys by what they do now."""

    signing: str
    retiring: dict[str, int] = field(default_factory=dict)
    """Until which nanosecond the key stays published."""

    @classmethod
    def read(cls, trust: Path, names: list[str]) -> "TokenKeyLife":
        """What the file says; names a backup lost do not count.

        Raises `TOKEN_KEYS_DAMAGED`: which keys were taken back after a leak is in this file alone,
        so nothing is guessed.
        """
        path = trust / STATE_FILE
        try:
            said = msgspec.json.decode(path.read_bytes(), type=_Said)
        except FileNotFoundError:
            return cls(signing=names[-1])
        except (msgspec.DecodeError, UnicodeDecodeError, OSError) as exc:
            raise TOKEN_KEYS_DAMAGED.error(path=str(path), problem=str(exc)) from exc
        signing = said.signing if said.signing in names else names[-1]
        return cls(signing=signing, retiring=said.retiring)

    def encoded(self) -> bytes:
        """For `read`."""
        return msgspec.json.encode(_Said(signing=self.signing, retiring=self.retiring))

    def published(self, names: list[str], now_ns: int) -> list[str]:
        """The one that signs, those that still retire, and the staged one."""
        return [
            name for name in names if name >= self.signing or now_ns < self.retiring.get(name, 0)
        ]

    def staged(self, names: list[str]) -> str | None:
        """The key that waits to sign."""
        return names[-1] if names[-1] > self.signing else None

    def switched(self, name: str, now_ns: int, *, overlap: bool) -> "TokenKeyLife":
        """Let another key sign; without `overlap` no token of an earlier one counts any more."""
        if not overlap:
            return TokenKeyLife(signing=name)
        living = {key: until for key, until in self.retiring.items() if now_ns < until}
        living[self.signing] = now_ns + OVERLAP_S * NS_PER_S
        return TokenKeyLife(signing=name, retiring=living)


def next_name(names: list[str]) -> str:
    """The name of the key after the newest."""
    number = int(names[-1].removeprefix(PREFIX).removesuffix(".pem")) + 1 if names else 1
    return f"{PREFIX}{number:04d}.pem"
