"""`aitrading-client sim`: the simulated terminal for scripts written for `MetaTrader5`."""

import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any, ParamSpec

import click

from aitrading.client.terminal.package import STAND_IN
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError

P = ParamSpec("P")
_options = click.option(
    "--set",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of [terminal_sim], for example seed=7 or replay=day.zip; can be repeated.",
)


def _told(command: Callable[P, None]) -> Callable[P, None]:
    """Tell a refusal to a person, never as a traceback."""

    @wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except AitradingError as exc:
            click.echo(
                f"{exc.message}\n  remedy: {exc.spec.remedy}\n  code:   {exc.code}", err=True
            )
            sys.exit(1)

    return wrapper


@click.group()
def sim() -> None:
    """Run scripts written for the package MetaTrader5 against a simulated terminal."""


@sim.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_options
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@_told
def run(script: Path, arguments: tuple[str, ...], options: tuple[str, ...]) -> None:
    """Run SCRIPT with ARGUMENTS; its `import MetaTrader5` gets the simulated terminal."""
    from aitrading.client.terminal.select import TerminalKind, open_terminal  # noqa: PLC0415 - slow
    from aitrading.client.terminal.sim.from_settings import settings_of  # noqa: PLC0415 - see above
    from aitrading.client.terminal.sim.module import install  # noqa: PLC0415 - see above
    from aitrading.client.terminal.stand_in import announce  # noqa: PLC0415 - see above

    terminal: Any = open_terminal(TerminalKind.SIM, settings_of(options), SystemClock())
    install(terminal)
    announce()
    _pass_on(options)
    sys.argv = [str(script), *arguments]
    sys.path[:0] = [str(script.resolve().parent), str(STAND_IN)]
    runpy.run_path(str(script), run_name="__main__")


@sim.command()
@_options
@click.option(
    "--address-file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Written with the port and a secret token; only its owner can read it.",
)
@_told
def serve(address_file: Path, options: tuple[str, ...]) -> None:
    """Be a simulated terminal for other processes of this machine, until SIGTERM or Ctrl-C."""
    from aitrading.client.terminal.sim.from_settings import (  # noqa: PLC0415 - slow to import
        settings_of,
        simulated_terminal,
    )
    from aitrading.client.terminal.sim.process.server import (  # noqa: PLC0415 - see above
        TwinServer,
    )

    server = TwinServer(simulated_terminal(settings_of(options), SystemClock()), address_file)
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    threading.Thread(target=server.serve, name="twin", daemon=True).start()
    click.echo(f"listening on port {server.address.port}; address in {address_file}", err=True)
    ended.wait()
    server.close()


@sim.command()
def path() -> None:
    """Print the folder which, on PYTHONPATH, makes `import MetaTrader5` the simulated terminal."""
    click.echo(STAND_IN)


def _pass_on(options: Iterable[str]) -> None:
    """Processes that the script starts get a twin too, never a real terminal in its place."""
    chosen = [*options, "replaces_package=true"]
    for name, _, value in (option.partition("=") for option in chosen):
        os.environ[f"AITRADING_TERMINAL_SIM_{name.strip().upper()}"] = value
    paths = (str(STAND_IN), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(entry for entry in paths if entry)
