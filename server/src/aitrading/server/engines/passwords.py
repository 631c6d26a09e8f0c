"""Passwords of the embedded engines: random, one per user, readable by the owner only."""

from pathlib import Path

from aitrading.core.kit.randomness import Randomness
from aitrading.core.kit.secret import Secret
from aitrading.server.engines.files import replace_private

PASSWORD_BYTES = 24


class PasswordStore:
    """A folder with one file per user; a password is made when it is first asked for."""

    def __init__(self, folder: Path, randomness: Randomness) -> None:
        self._folder = folder
        self._randomness = randomness

    def get(self, engine: str, user: str) -> Secret[str]:
        """Return the user's password, making and storing it durably on first use."""
        path = self._folder / f"{engine}-{user}"
        try:
            return Secret(path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return self._make(path)

    def forget(self, engine: str, user: str) -> None:
        """Whoever asks for it the next time gets another one."""
        (self._folder / f"{engine}-{user}").unlink(missing_ok=True)

    def _make(self, path: Path) -> Secret[str]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        password = self._randomness.token(PASSWORD_BYTES).hex()
        replace_private(path, password.encode(), durable=True)
        return Secret(password)
