"""Changing settings and the certificate while a service runs: on SIGHUP, or when a file changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from aitrading.core.infrastructure.config_manager import ConfigInvalidError, ConfigManager
from aitrading.core.infrastructure.health import ComponentHealth
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import get_logger

LOOK_EVERY_S: Final = 1.0
SETTINGS: Final = "settings"
CERTIFICATE: Final = "certificate"

_log = get_logger(__name__)


class HotReload:
    """Takes over what may change; what is wrong is logged, and the old values stay."""

    def __init__(
        self,
        config: ConfigManager,
        certificate: Path,
        *,
        renew_certificate: Callable[[], None],
        on_error: Callable[[Exception], object],
    ) -> None:
        self._config = config
        self._certificate = certificate
        self._renew_certificate = renew_certificate
        self._on_error = on_error
        self._version = _version_of(certificate)
        self._troubles: dict[str, str] = {}

    def health(self) -> ComponentHealth:
        """DEGRADED while the service works with other settings or another certificate than told."""
        trouble = next(iter(self._troubles.values()), None)
        state = ComponentState.HEALTHY if trouble is None else ComponentState.DEGRADED
        return ComponentHealth(state=state, critical=False, detail=trouble)

    async def watch(self, clock: Clock) -> None:
        """Look at the files every second, for ever."""
        while True:
            await clock.sleep(LOOK_EVERY_S)
            if self._config.changed_on_disk():
                self.reload_settings()
            if _version_of(self._certificate) != self._version:
                self.reload_certificate()

    def reload(self) -> None:
        """Read settings and certificate again, changed or not."""
        self.reload_settings()
        self.reload_certificate()

    def reload_settings(self) -> None:
        """Switch to the new settings, or keep all old ones when one is wrong."""
        self._troubles[SETTINGS] = "new settings could not be read; the old ones are in effect"
        try:
            changes = self._config.reload()
        except AitradingError as exc:
            self._troubles[SETTINGS] = f"the old settings are in effect: {exc.message}"
            self._on_error(exc)
            log_problems(exc)
            return
        del self._troubles[SETTINGS]
        for change in changes:
            effect = "in effect" if change.applied else "needs a restart"
            _log.info("setting %s: %s → %s (%s)", change.setting, change.old, change.new, effect)

    def reload_certificate(self) -> None:
        """Show the new certificate from the next connection on."""
        self._version = _version_of(self._certificate)
        self._troubles[CERTIFICATE] = "a new certificate could not be read; the old one is shown"
        try:
            self._renew_certificate()
        except AitradingError as exc:
            self._troubles[CERTIFICATE] = f"the old certificate is shown: {exc.message}"
            self._on_error(exc)
            _log.error("%s", exc, error=exc)
        else:
            del self._troubles[CERTIFICATE]
            _log.info("the certificate was renewed")


def log_problems(exc: AitradingError) -> None:
    """One line for each thing that is wrong, so that a person can read them in the log."""
    if isinstance(exc, ConfigInvalidError):
        for problem in exc.problems:
            _log.error("configuration: %s", problem)
    else:
        _log.error("%s", exc, error=exc)


def _version_of(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
