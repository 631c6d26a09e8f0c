"""Settings of the configuration manager."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from aitrading.client.security.protection import ProtectionKind
from aitrading.core.infrastructure.config_manager import Setting

BY_FILE: Final = "file"


@dataclass(frozen=True, kw_only=True)
class ConfigurationSettings:
    """How the server's configuration is kept here, and how often it is asked for."""

    SECTION: ClassVar[str] = "configuration"

    protect: Annotated[
        str,
        Setting(
            doc="What keeps the key of the stored configuration: `file` is `identity/files.key`, "
            "readable by its owner alone; the others are those of a stored broker login.",
            choices=(BY_FILE, *(str(kind) for kind in ProtectionKind)),
        ),
    ] = BY_FILE
    passphrase_file: Annotated[
        str, Setting(doc="File with the passphrase, for `protect = passphrase`.")
    ] = ""
    ask_every_s: Annotated[
        int,
        Setting(
            doc="Longest time between two questions to the server; a change is told over the link "
            "and asked for at once.",
            unit="s",
            minimum=5,
            maximum=86_400,
        ),
    ] = 300
