"""The `hdgan` command: one verb for each stage, and one line for each mistake.

No verb imports more than this package until it is called, so that `hdgan --help` answers at once.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable

import typer

from hdgan.cli import (
    ablate,
    demo,
    doctor,
    evaluate,
    export_generator,
    export_masks,
    export_tiles,
    extract,
    fit,
    import_masks,
    import_weights,
    inspect,
    latent,
    paint,
    quality,
    run,
    sample,
    segment,
    synthesize,
    tile,
    train,
    verify,
)
from hdgan.errors import HdganError, Interrupted, OutOfSpace

VERBS: dict[str, tuple[str, Callable[..., None]]] = {
    "demo": ("Start here", demo.demo),
    "doctor": ("Start here", doctor.doctor),
    "run": ("Start here", run.run),
    "inspect": ("The stages, in order", inspect.inspect),
    "tile": ("The stages, in order", tile.tile),
    "train": ("The stages, in order", train.train),
    "sample": ("The stages, in order", sample.sample),
    "import-masks": ("The stages, in order", import_masks.import_masks),
    "extract": ("The stages, in order", extract.extract),
    "fit": ("The stages, in order", fit.fit),
    "evaluate": ("The stages, in order", evaluate.evaluate),
    "synthesize": ("The stages, in order", synthesize.synthesize),
    "segment": ("The stages, in order", segment.segment),
    "import-weights": ("Other", import_weights.import_weights),
    "export-masks": ("Other", export_masks.export_masks),
    "export-tiles": ("Other", export_tiles.export_tiles),
    "export-generator": ("Other", export_generator.export_generator),
    "quality": ("Other", quality.quality),
    "ablate": ("Other", ablate.ablate),
    "latent": ("Other", latent.latent),
    "verify": ("Other", verify.verify),
    "paint": ("Other", paint.paint),
}
"""Verb to its panel in the help and its function; the order is that of the help."""


def command_of(*names: str) -> typer.Typer:
    """The command with these verbs."""
    command = typer.Typer(
        name="hdgan",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    command.callback()(_root)
    for name in names:
        panel, verb = VERBS[name]
        command.command(name, rich_help_panel=panel)(mendable(verb))
    return command


def _root() -> None:
    """An unlimited, pixel-labelled histology dataset from a few annotated generated images."""


def main() -> None:
    """Runs the command line; what a user can mend ends in one line on standard error and the error's exit code."""
    # torch's threads wait for each other by spinning: beside any other busy process they then make next to no progress. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    is_verb = len(sys.argv) > 1 and sys.argv[1] in VERBS
    try:
        # To build the options of all verbs takes as long as the pages of a small slide.
        (command_of(sys.argv[1]) if is_verb else app)()
    except HdganError as error:
        typer.echo("hdgan: " + " ".join(str(error).split()), err=True)
        sys.exit(error.exit_code)


def mendable(verb: Callable[..., None]) -> Callable[..., None]:
    """`verb`, with a full disk, a refused access and Ctrl-C turned into errors that a user can mend."""

    @functools.wraps(verb)
    def guarded(*args: object, **named: object) -> None:
        try:
            verb(*args, **named)
        except KeyboardInterrupt as error:
            raise Interrupted("interrupted; the same command goes on from here") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OutOfSpace(f"{error.filename or 'disk'}: no space is left; free some and run the same command again") from error
            if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM) and error.filename:
                raise HdganError(f"{error.filename}: {error.strerror}; choose a folder that you may write to") from error
            raise

    return guarded


app = command_of(*VERBS)
