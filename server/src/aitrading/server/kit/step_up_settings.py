"""How recent the proof of a person must be, as an installation sets it."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class StepUpSettings:
    """How recent a proof must be for what is dangerous."""

    SECTION: ClassVar[str] = "step_up"

    enabled: Annotated[
        bool,
        Setting(
            doc="Whether administration needs a recent proof of the person. Off, a session is "
            "enough for everything.",
        ),
    ] = True
    max_age_s: Annotated[
        int,
        Setting(
            doc="How old the proof may be; a login is one.",
            unit="s",
            minimum=30,
            maximum=43_200,
        ),
    ] = 300
    needs_second_factor: Annotated[
        bool,
        Setting(
            doc="Whether administration is only for who logged in with a second factor, or whom "
            "the host sent. An owner without one can still set it up.",
        ),
    ] = False
