"""`hdgan quality`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hdgan.cli.options import Run

if TYPE_CHECKING:
    from hdgan.measures.copies import CopyReport
    from hdgan.measures.resemblance import Resemblance
    from hdgan.pipeline.held_out import HeldOutReport
    from hdgan.pipeline.quality import Quality

_HEAD = f"{'':29} {'frechet':>9} {'kernel x 1000':>22} {'precision':>10} {'recall':>7} {'density':>8} {'coverage':>9}"

Num = Annotated[int, typer.Option("--num", help="Samples to draw, and real crops to compare them with.", min=16)]
Psi = Annotated[float, typer.Option("--psi", help="Truncation of the samples; 1: none.", min=0, max=1)]
Encoder = Annotated[
    Path | None, typer.Option("--encoder", help="ONNX file of a network whose features are compared; without it ours.", show_default=False)
]
Takes = Annotated[
    Literal["imagenet", "half", "unit"],
    typer.Option("--encoder-input", help="Pixels that the network takes: imagenet (standardised), half (-1 to 1), unit (0 to 1)."),
]
Seed = Annotated[int, typer.Option("--seed", help="Of the samples and crops.")]
Condition = Annotated[
    str | None,
    typer.Option("--condition", help="Samples and training crops of this label alone (stain, centre or patient).", show_default=False),
]
HeldOutSet = Annotated[
    str | None,
    typer.Option(
        "--held-out", help="Set of the run's labelled real pairs on which nothing was trained, to compare with.", show_default=False
    ),
]
MayShow = Annotated[
    list[str] | None,
    typer.Option("--may-show", help="Slide whose real crops pictures may show; may be repeated. Without it: all.", show_default=False),
]
Blind = Annotated[
    bool, typer.Option("--blind", help="Only write a sheet of drawn and real crops, and its key; the slides are those of --may-show.")
]
Attribution = Annotated[
    str | None,
    typer.Option("--attribution", help="With --blind: whose the real crops are; else dataset.attribution.", show_default=False),
]
Answers = Annotated[
    Path | None,
    typer.Option("--score-blind", help="Only score the answers to the sheet: a CSV of number and real or drawn.", show_default=False),
]
Curve = Annotated[bool, typer.Option("--curve", help="Only draw the curve of the training, finished or going on.")]


def quality(
    run: Run,
    num: Num = 1000,
    psi: Psi = 1.0,
    seed: Seed = 0,
    condition: Condition = None,
    held_out: HeldOutSet = None,
    may_show: MayShow = None,
    encoder: Encoder = None,
    encoder_input: Takes = "imagenet",
    curve: Curve = False,
    blind: Blind = False,
    attribution: Attribution = None,
    score_blind: Answers = None,
) -> None:
    """Measure the generator's images beside real ones, and look for copies of training tiles."""
    from hdgan.errors import BadInput

    if curve + blind + (score_blind is not None) > 1:
        raise BadInput("quality", "--curve, --blind and --score-blind are three things", "give one of them")
    if attribution is not None and not blind:
        raise BadInput("--attribution", "needs --blind", "the attribution of a dataset stands in the settings (`dataset.attribution`)")
    if score_blind is not None:
        _score(run, score_blind)
    elif curve:
        _curve(run)
    elif blind:
        _blind(run, slides=may_show or [], psi=psi, seed=seed, condition=condition, attribution=attribution)
    else:
        takes = None if encoder is None else (encoder, encoder_input)
        _measure(
            run, takes=takes, num=num, psi=psi, seed=seed, condition=condition, held_out_set=held_out, may_show=frozenset(may_show or ())
        )


def _measure(run: Path, *, takes: tuple[Path, Literal["imagenet", "half", "unit"]] | None, **settings: Any) -> None:
    from hdgan.cli.progress import showing
    from hdgan.errors import BadInput
    from hdgan.measures.encoder import OnnxEncoder
    from hdgan.pipeline.curve import stats_of
    from hdgan.pipeline.quality import measure_quality
    from hdgan.pipeline.run import refuse_stale

    refuse_stale(run, "generator")
    given = None if takes is None else OnnxEncoder(takes[0], takes=takes[1])
    with showing() as progress:
        found = measure_quality(run, **settings, embedder=given, progress=progress)
    num, of, tiles = found.about["num"], found.about["condition"], found.about["tiles"]
    label, by = "" if of is None else f" of {of}", found.about["embedder"]["name"]
    typer.echo(f"{num:,} samples{label} at psi {found.about['psi']:g} and {num:,} crops of {tiles['compared']:,} training tiles, by {by}")
    typer.echo(_HEAD)
    _tell("samples", found.samples)
    _tell("other crops of the same tiles", found.floor)
    _tell("held-out crops", found.held_out)
    _tell("samples to held-out crops", found.samples_to_held_out)
    if found.held_out_set is not None:
        _tell_set(found.held_out_set)
    _tell_copies(found)
    for line in found.about.get("remarks", ()):
        typer.echo(f"note: {line}")
    typer.echo(f"written: {found.path}")
    if stats_of(run).exists():
        try:
            _curve(run)
        except BadInput as error:  # an old or very short training kept no such numbers
            typer.echo(f"no curve of the training: {error}")


def _curve(run: Path) -> None:
    from hdgan.pipeline.curve import write_curve

    for path in write_curve(run):
        typer.echo(f"written: {path}")


def _blind(run: Path, **settings: Any) -> None:
    from hdgan.pipeline.blind import write_blind
    from hdgan.pipeline.run import refuse_stale

    refuse_stale(run, "generator")
    sheet, key = write_blind(run, **settings)
    typer.echo(f"written: {sheet}")
    typer.echo(f"written: {key} (not to be opened before the answers are in)")


def _score(run: Path, answers: Path) -> None:
    from hdgan.pipeline.blind import score_blind

    found = score_blind(run, answers)
    typer.echo(
        f"{found.right} of {found.answered} right: {found.share:.0%} (95 % interval {found.low:.0%} to {found.high:.0%}; guessing: 50%)"
    )
    wrong = f"{found.real_taken_for_drawn} real crops were taken for drawn, {found.drawn_taken_for_real} drawn ones for real"
    typer.echo(f"{wrong}; {found.left_out} without an answer")


def _tell_copies(found: Quality) -> None:
    from hdgan.measures.copies import CLOSEST_PERCENT

    if found.copies is None and found.copies_by_set is None:
        typer.echo("copies: not looked for, because every training tile overlaps every other")
    if found.copies is not None:
        limit = f"{found.copies.threshold:.3f}, the nearest {CLOSEST_PERCENT:g} % of real crops to tiles that they are not from"
        typer.echo(f"copies: {_share(found.copies)} of the samples are nearer to a training crop than {limit}")
    if found.copies_by_set is not None:
        limit = f"{found.copies_by_set.threshold:.3f}, the nearest {CLOSEST_PERCENT:g} % of the held-out set"
        if found.held_out_set is not None and found.held_out_set.num < 100 / CLOSEST_PERCENT:
            limit += f" (of {found.held_out_set.num} crops: one of them decides; a smaller stride_px of the set gives more)"
        typer.echo(f"copies: {_share(found.copies_by_set)} of the samples are nearer to a training crop than {limit}")


def _share(report: CopyReport) -> str:
    low, high = report.interval
    return f"{report.share:.1%} (95 % interval {100 * low:.1f} to {100 * high:.1f})"


def _tell_set(found: HeldOutReport) -> None:
    times = "once" if found.rounds == 1 else f"{found.rounds} times"
    white = "" if found.max_white >= 1 else f", none more than {found.max_white:.0%} white"
    typer.echo(f"{found.num} of the {found.pairs} pairs of the held-out set {found.name}, and as many of all others, {times}{white}")
    typer.echo(_HEAD)
    _tell("samples", found.samples.mean)
    _tell("other crops of the same tiles", found.floor.mean)
    _tell("held-out set", found.held_out.mean)
    _tell("samples to held-out set", found.samples_to_held_out.mean)


def _tell(name: str, found: Resemblance | None) -> None:
    if found is None:
        return
    kernel, shares = found.kernel, found.shares
    distances = f"{name:29} {found.frechet:9.2f} {kernel.mean * 1000:10.4g} +- {kernel.spread * 1000:8.3g}"
    typer.echo(f"{distances} {shares.precision:10.3f} {shares.recall:7.3f} {shares.density:8.3f} {shares.coverage:9.3f}")
