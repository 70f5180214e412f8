"""The `hdgan` command: one verb for each stage, and one line for each mistake.

No verb imports more than this package until it is called, so that `hdgan --help` answers at once.
"""

from __future__ import annotations

import atexit
import errno
import functools
import gc
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hdgan.errors import HdganError, Interrupted, OutOfSpace
from hdgan.stopping import stoppable

if TYPE_CHECKING:
    import typer

VERBS = {
    "demo": "Start here",
    "doctor": "Start here",
    "run": "Start here",
    "inspect": "The stages, in order",
    "tile": "The stages, in order",
    "train": "The stages, in order",
    "sample": "The stages, in order",
    "import-masks": "The stages, in order",
    "extract": "The stages, in order",
    "fit": "The stages, in order",
    "evaluate": "The stages, in order",
    "synthesize": "The stages, in order",
    "segment": "The stages, in order",
    "import-weights": "Other",
    "compare-masks": "Other",
    "export-masks": "Other",
    "export-tiles": "Other",
    "export-generator": "Other",
    "quality": "Other",
    "suggest": "Other",
    "ablate": "Other",
    "latent": "Other",
    "verify": "Other",
    "paint": "Other",
}
"""Verb to its panel in the help; the order is that of the help. Its function has its name, and so has the module of this package that holds it."""


def command_of(*names: str) -> typer.Typer:
    """The command with these verbs; no module of another verb is imported."""
    import typer

    command = typer.Typer(
        name="hdgan",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    command.callback()(_root)
    for name in names:
        own = name.replace("-", "_")
        verb: Callable[..., None] = getattr(importlib.import_module(f"hdgan.cli.{own}"), own)
        command.command(name, rich_help_panel=VERBS[name])(mendable(verb))
    return command


def _root() -> None:
    """An unlimited, pixel-labelled histology dataset from a few annotated generated images."""


def main() -> None:
    """Runs the command line; what a user can mend ends in one line on standard error and the error's exit code."""
    # torch's threads wait for each other by spinning: beside any other busy process they then make next to no progress. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Else pydantic reads what every installed distribution says of itself, in search of programs that watch models of others.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Else Python looks at its end several times for garbage among all that was imported, and there is much of that.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    is_verb = len(sys.argv) > 1 and sys.argv[1] in VERBS
    was_collecting = gc.isenabled()
    gc.disable()  # until the verb begins: what is imported for it makes many containers, none of them garbage
    try:
        # What is slow before a stage listens itself (imports, a look at every slide) must not be where a cluster's signal kills, or the job is not resumed.
        with stoppable():
            # To build the options of all verbs takes as long as the pages of a small slide.
            (command_of(sys.argv[1]) if is_verb else whole_command())()
    except HdganError as error:
        print("hdgan: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(error.exit_code)
    finally:
        if was_collecting:
            gc.enable()


@functools.cache
def whole_command() -> typer.Typer:
    """The command with all verbs."""
    return command_of(*VERBS)


def mendable(verb: Callable[..., None]) -> Callable[..., None]:
    """`verb`, with a full disk, a refused access and Ctrl-C turned into errors that a user can mend."""

    @functools.wraps(verb)
    def guarded(*args: object, **named: object) -> None:
        gc.enable()
        try:
            verb(*args, **named)
        except KeyboardInterrupt as error:
            raise Interrupted("interrupted; the same command goes on from here") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OutOfSpace(f"{error.filename or 'disk'}: no space is left; free some and run the same command again") from error
            if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM) and error.filename:
                remedy = (
                    "ask whoever owns it for the right to read it"
                    if _is_closed(Path(error.filename))
                    else "choose a folder that you may write to"
                )
                raise HdganError(f"{error.filename}: {error.strerror}; {remedy}") from error
            if error.errno in (errno.ENOTDIR, errno.EEXIST) and error.filename and (file := _file_in_the_way(Path(error.filename))):
                raise HdganError(f"{file}: is a file, and a folder is needed there; choose another name") from error
            raise

    return guarded


def _is_closed(path: Path) -> bool:
    """Whether `path` is a file or folder that this user may not read, or lies in a folder whose files he may not reach."""
    is_out_of_reach = any(os.access(folder, os.F_OK) and not os.access(folder, os.X_OK) for folder in path.parents)
    return is_out_of_reach or (os.access(path, os.F_OK) and not os.access(path, os.R_OK))


def _file_in_the_way(path: Path) -> Path | None:
    """The file that stands on the way to `path`, or in its place; None where there is none."""
    return next((place for place in (path, *path.parents) if place.is_file()), None)
