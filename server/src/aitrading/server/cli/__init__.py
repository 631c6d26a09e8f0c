"""The command line of a host: `aitrading`. Data goes to stdout, everything else to stderr.

Exit codes: 0 done, 1 the answer is no, 2 usage, 3 unavailable.
"""

import importlib
import sys
from typing import Any, Final

import click
from typing_extensions import override

from aitrading.core.kit.errors import AitradingError

UNAVAILABLE: Final = 3
COMMANDS: Final = {
    "doctor": ("doctor:doctor", "Find what keeps the platform from working."),
    "down": ("down:down", "Stop the platform."),
    "status": ("status:status", "Show services and engines."),
    "up": ("up:up", "Start engines and services and watch over them."),
}
"""Name of a command: where it is, and one line about it; a module is imported when it is used."""


class _Commands(click.Group):
    """Imports a command when it is called, and says refusals without a traceback."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])

    @override
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AitradingError as exc:
            click.echo(
                f"{exc.message}\n  Why: {exc.spec.why}\n  Remedy: {exc.spec.remedy}\n  Code: {exc.code}",
                err=True,
            )
            sys.exit(UNAVAILABLE)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aitrading-server")
def main() -> None:
    """Run and operate an aitrading installation."""
