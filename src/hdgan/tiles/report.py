"""The page to look at after cutting, `report.html`: what was kept and dropped, why, and how that looks on every slide.

It needs no server and nothing from outside: styles and charts stand in the page, pictures of the slides (at most 1024 px) beside it in `report/`. They are
loaded and laid out when they come into view, so that one page holds a cohort. Equal runs give equal bytes.
"""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from hdgan.plots.histograms import histogram
from hdgan.plots.page import Page
from hdgan.progress import SILENT, Progress
from hdgan.slides.table import SlideEntry
from hdgan.store.archive import TileRow
from hdgan.store.atomic import replacing_folder, write_bytes, write_text
from hdgan.tiles import parts, what_if
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import INLINE, Crew, Job
from hdgan.tiles.cut import BACKGROUND, BLACK, BLUR, COMPARTMENT, KEPT, LEFT_OUT, PEN, REASONS, SUSPECT, UNREADABLE, Cell
from hdgan.tiles.dealing import Dealt
from hdgan.tiles.fold_tables import tell_cases, tell_folds
from hdgan.tiles.hits import REGIONS, UNNAMED, Hit, read_hits
from hdgan.tiles.parts import Status
from hdgan.tiles.pictures import COLOURS, encoded_overlay, outline_colours
from hdgan.tiles.plan import SlidePlan
from hdgan.tiles.regions import region_notes
from hdgan.tiles.scores import DETAIL_MPP
from hdgan.tiles.sources import Sources
from hdgan.tiles.unread import Unread
from hdgan.tiles.unread_table import tell_unread

REPORT = "report.html"
PICTURES = "report"
_SCORES = ("background", "pen", "black", "blur", "compartment")
_TITLES = {
    "background": "background",
    "pen": "pen",
    "black": "black",
    "blur": "blur, of tiles read",
    "compartment": "compartment, of tiles read",
}
_OF_SLIDE = ("background", "blur", "compartment")
_MEANINGS = {
    KEPT: "kept",
    BACKGROUND: "too much background",
    PEN: "marker ink",
    BLACK: "black",
    UNREADABLE: "cannot be decoded",
    SUSPECT: "suspect",
    BLUR: "blurred",
    COMPARTMENT: "low compartment score",
    LEFT_OUT: "case left out",
}
_WHY_NOT = (*REASONS, LEFT_OUT)
_STORED = {"raw": "as copies of its JPEG tiles", "jxl": "as JPEG XL"}
_DASH = "-"
_PARTED = ";"
"""Between the folds of a slide in `slides.csv`, where folds are by tile."""

Lines = Mapping[str, Mapping[str, str]]
"""Lines of `slides.csv` by the name of the slide."""


def write_report(
    out: Path,
    sources: Sources,
    cells: Sequence[Cell],
    rows: Sequence[TileRow],
    dealt: Dealt,
    config: TilesConfig,
    *,
    unread: Sequence[Unread] = (),
    crew: Crew = INLINE,
    progress: Progress = SILENT,
) -> None:
    """Writes `report.html` and its pictures into the stage folder `out`, where the parts, `slides.csv` and `regions.csv` lie. `rows` is the index.
    `crew` draws the cells.
    """
    plans = sources.plans
    colours = outline_colours(outline.class_name for plan in plans if plan.regions for outline in plan.regions.outlines)
    of_slide: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        of_slide[cell.slide].append(cell)
    sizes = _write_pictures(out, plans, of_slide, config, colours, crew, progress)
    lines = what_if.read_slides(out / "slides.csv")
    page = _opening(sources, cells, lines, config)
    _tell_problems(page, out, sources, of_slide, rows, dealt)
    tell_unread(page, unread)
    _tell_counts(page, cells, lines)
    _tell_regions(page, cells, read_hits(out / REGIONS), colours)
    tell_folds(page, rows, dealt)
    tell_cases(page, rows, dealt, config)
    _tell_scores(page, cells, lines, config)
    storing = {plan.entry.name: _storing(parts.read_status(parts.part_folder(out, plan.entry.name)), config) for plan in plans}
    _tell_slides(page, plans, of_slide, sizes, lines, config, colours, storing)
    write_text(out / REPORT, page.html())


def _write_pictures(
    out: Path,
    plans: Sequence[SlidePlan],
    of_slide: Mapping[str, Sequence[Cell]],
    config: TilesConfig,
    colours: Mapping[str, tuple[int, int, int]],
    crew: Crew,
    progress: Progress,
) -> dict[str, tuple[int, int]]:
    """Writes the picture of each slide and the overlay with its cells; width and height of each, px, by the name of the slide."""
    sizes, jobs = {}, []
    with replacing_folder(out / PICTURES) as folder:
        for plan in plans:
            name = plan.entry.name
            encoded = (parts.part_folder(out, name) / parts.THUMBNAIL).read_bytes()
            write_bytes(folder / f"{name}.jpg", encoded)
            with Image.open(io.BytesIO(encoded)) as image:
                sizes[name] = image.size
            outlines = () if plan.regions is None else plan.regions.outlines
            draw = partial(
                encoded_overlay, slide_px=plan.size_px, picture_px=sizes[name], drawn_px=_drawn_px(plan, config), colours=colours
            )
            jobs.append(Job(str(plan.entry.path), draw, (of_slide[name], outlines)))
        for outcome in crew.run(jobs, progress=progress):
            if outcome.value is None:
                raise outcome.problem or AssertionError("a job has a value or a problem")
            write_bytes(folder / f"{plans[outcome.index].entry.name}.cells.png", outcome.value)
    return sizes


def _opening(sources: Sources, cells: Sequence[Cell], lines: Lines, config: TilesConfig) -> Page:
    plans, num_left_out = sources.plans, len(sources.problems) + len(sources.choice.unused)
    verdicts = Counter(cell.verdict for cell in cells)
    edge_um = config.stored_px * config.mpp
    lead = f"Tiles of {config.stored_px} px at {config.mpp:g} um/px ({edge_um:g} um){_where(config)}."
    page = Page("Tiles: what was kept and what was not", lead)
    page.facts(
        [
            (f"{verdicts[KEPT]:,}", f"tiles kept of {len(cells):,} cells"),
            (f"{len(plans):,}", "slides cut"),
            (f"{len({lines[plan.entry.name]['patient'] for plan in plans}):,}", "patients"),
            (f"{num_left_out:,}", "slides left out"),
        ]
    )
    links = [
        ("qc.png", "tiles to look at"),
        ("tiles.csv", "tiles"),
        ("cells.csv", "cells and scores"),
        ("slides.csv", "slides"),
        ("cases.csv", "cases"),
        ("unread.csv", "regions not read"),
    ]
    page.links([*links, (REGIONS, "regions in each cell")] if any(plan.regions is not None for plan in plans) else links)
    page.note(_rules(config))
    return page


def _where(config: TilesConfig) -> str:
    """Where the tiles lie, to be put behind their size."""
    placement = config.placement
    names = " or ".join(placement.classes) or "any class"
    overlap = "" if config.step_px >= config.stored_px else f", every {config.step_px} px, so that they overlap"
    if placement.way == "centred":
        return f", around each outlined object of {names}" + (f", and on a grid{overlap}" if placement.and_grid else "")
    return overlap + (f", where outlined regions of {names} are" if placement.way == "intersecting" else "")


def _drawn_px(plan: SlidePlan, config: TilesConfig) -> float:
    """How wide a cell is drawn, level-0 px."""
    if config.placement.way == "centred" and plan.regions is not None:
        return plan.level0_px
    return config.step_px * plan.level0_px / config.stored_px


def _rules(config: TilesConfig) -> str:
    limits = config.limits
    rules = [f"background above {limits.max_background:g}"]
    highest = {"ink": limits.max_pen, "black": limits.max_black, "blur": limits.max_blur}
    rules += [f"{name} above {limit:g}" for name, limit in highest.items() if limit is not None]
    rules += [] if limits.min_compartment is None else [f"compartment score below {limits.min_compartment:g}"]
    return f"Dropped: {'; '.join(rules)}; what cannot be decoded or is suspect. The thresholds are of this run's settings; the paper gives none."


def _tell_problems(
    page: Page, out: Path, sources: Sources, of_slide: Mapping[str, Sequence[Cell]], index: Sequence[TileRow], dealt: Dealt
) -> None:
    rows = [[_called(entry), f"left out: {why}"] for entry, why in sources.told_problems()]
    slides = [plan.entry.name for plan in sources.plans]
    rows += [list(note) for note in (*region_notes(sources.plans, sources.config), *parts.white_notes(out, slides))]
    for plan in sources.plans:
        verdicts = Counter(cell.verdict for cell in of_slide.get(plan.entry.name, ()))
        if verdicts[UNREADABLE]:
            rows.append([plan.entry.name, f"{verdicts[UNREADABLE]:,} cells cannot be decoded: the file is damaged there"])
        if verdicts[SUSPECT]:
            rows.append([plan.entry.name, f"{verdicts[SUSPECT]:,} cells are suspect: what was read is not what the overview shows"])
        if not verdicts[KEPT]:
            why = ", ".join(f"{verdicts[reason]:,} {_MEANINGS[reason]}" for reason in _WHY_NOT if verdicts[reason])
            rows.append(
                [plan.entry.name, f"no tile: {why or 'none fits into it, into the areas given for it, or where regions are asked for'}"]
            )
    page.heading("What to look at")
    if rows:
        page.table(["slide", "what"], rows)
    warnings = [f"Folds: {line}." for line in (*dealt.warnings(index), *sources.patient_notes())]
    if dealt.left_out:
        warnings.append(f"Cases: {len(dealt.left_out):,} have too few stains and are left out.")
    for line in warnings:
        page.note(line)
    if not rows and not warnings:
        page.note(
            "Nothing: every slide was read whole and gave tiles, and every fold holds every stain, centre and diagnosis that is known."
        )


def _called(entry: SlideEntry) -> str:
    """The name of a slide, with its file where that is called otherwise."""
    return entry.name if Path(entry.file_name).stem == entry.name else f"{entry.name} ({entry.file_name})"


def _tell_counts(page: Page, cells: Sequence[Cell], lines: Lines) -> None:
    found = Counter(cell.verdict for cell in cells)
    reasons = [reason for reason in _WHY_NOT if found[reason]]
    page.heading("Counts")
    head = ["", "cells", "kept", *(_MEANINGS[reason] for reason in reasons)]
    counts: dict[tuple[int, str, str], Counter[str]] = defaultdict(Counter)
    for cell in cells:
        line = lines[cell.slide]
        counts[0, "all", ""][cell.verdict] += 1
        for order, group in enumerate(("stain", "centre", "diagnosis", "fold", "patient"), start=1):
            if line[group] and not (group == "fold" and _PARTED in line[group]):  # a cell that is dropped is in no fold
                counts[order, group, line[group]][cell.verdict] += 1
    rows = []
    for key in sorted(counts):
        numbers = [counts[key].total(), counts[key][KEPT], *(counts[key][reason] for reason in reasons)]
        rows.append([f"{key[1]} {key[2]}".strip(), *(f"{number:,}" for number in numbers)])
    page.table(head, rows, own=[0])
    page.note("Stains, centres, diagnoses and patients are those of the slide table; a slide without a kept tile is in no fold.")


def _tell_scores(page: Page, cells: Sequence[Cell], lines: Lines, config: TilesConfig) -> None:
    page.heading("Scores")
    measured = _measured(_SCORES, cells)
    page.charts([_chart(name, cells, config) for name in measured])
    unmeasured = [name for name in _SCORES if name not in measured]
    without = (
        f" No tile has {' or '.join(unmeasured)}: blur and compartment need tiles of at most {DETAIL_MPP:g} um/px." if unmeasured else ""
    )
    page.note(f"Heights are square roots of counts; the line is the threshold. What each score measures: docs/formats/tiles.md.{without}")
    page.heading("At other thresholds of background")
    rows = what_if.count_kept(cells, lines, limits=config.limits, thresholds=what_if.THRESHOLDS, min_stains=config.min_stains_per_case)
    shown = [row for row in rows if row.group != "patient"]
    page.table(*what_if.table(shown, what_if.THRESHOLDS), own=[0])
    page.note("Tiles that would stay. `hdgan tile RUN --what-if` prints this by patient too, at any threshold, without reading a slide.")


def _measured(names: Sequence[str], cells: Sequence[Cell]) -> list[str]:
    """Those of the scores that any of the cells has."""
    return [name for name in names if any(getattr(cell, name) is not None for cell in cells)]


def _chart(name: str, cells: Sequence[Cell], config: TilesConfig) -> str:
    limits = config.limits
    limit = limits.min_compartment if name == "compartment" else getattr(limits, f"max_{name}")
    values = [value for cell in cells if (value := getattr(cell, name)) is not None]
    return histogram(values, title=_TITLES[name], limit=limit)


def _tell_regions(page: Page, cells: Sequence[Cell], hits: Sequence[Hit], colours: Mapping[str, object]) -> None:
    """The classes of outlined regions: cells that hold them, tiles among these, and how much of them the tiles hold."""
    if not colours:
        return
    is_kept = {(cell.slide, cell.x_px, cell.y_px): cell.verdict == KEPT for cell in cells}
    found: dict[str, list[float]] = {name: [0, 0, 0.0] for name in sorted(colours)}
    for hit in hits:
        kept = is_kept.get((hit.slide, hit.x_px, hit.y_px), False)
        for number, value in enumerate((1, kept, kept * hit.area_um2 / 1e6)):
            found[hit.class_name][number] += value
    rows = [[name or UNNAMED, f"{held:,.0f}", f"{kept:,.0f}", f"{area:,.3f}"] for name, (held, kept, area) in found.items()]
    page.heading("Outlined regions")
    page.table(["class", "cells that hold it", "kept", "area in these, mm2"], rows)
    page.note("Where cells overlap, an area counts in each of them. regions.csv has the area and the number of objects for every cell.")


def _tell_slides(
    page: Page,
    plans: Sequence[SlidePlan],
    of_slide: Mapping[str, Sequence[Cell]],
    sizes: Mapping[str, tuple[int, int]],
    lines: Lines,
    config: TilesConfig,
    colours: Mapping[str, tuple[int, int, int]],
    storing: Mapping[str, str],
) -> None:
    found = {cell.verdict for cells in of_slide.values() for cell in cells}
    page.heading("Slides")
    page.key([(_css(COLOURS[verdict]), _MEANINGS[verdict]) for verdict in (KEPT, *_WHY_NOT) if verdict in found])
    if colours:
        page.key([(_css(colour), f"outlined: {name or UNNAMED}") for name, colour in colours.items()])
    if config.step_px < config.stored_px and config.placement.way != "centred":
        page.note("Cells overlap: of each the middle is drawn, as wide as the step from one to the next.")
    page.switch("draw the cells and outlines" if colours else "draw the cells")
    for plan in plans:
        name = plan.entry.name
        cells, line = of_slide.get(name, []), lines[name]
        with page.section(name, name=f"slide-{name}"):
            verdicts = Counter(cell.verdict for cell in cells)
            counts = ", ".join(f"{verdicts[verdict]:,} {_MEANINGS[verdict]}" for verdict in (KEPT, *_WHY_NOT) if verdicts[verdict])
            about = [f"{group} {line[group] or _DASH}" for group in ("patient", "centre", "stain", "diagnosis")]
            about.append(f"fold {line['fold'].replace(_PARTED, ' and ') or _DASH}")
            size_mm = [edge * plan.slide_mpp / 1000 for edge in plan.size_px]
            page.note(
                f"{counts or 'no cell'}. {', '.join(about)}. {size_mm[0]:.1f} x {size_mm[1]:.1f} mm at {plan.slide_mpp:g} um/px.{storing[name]}"
            )
            lower, upper = (f"{PICTURES}/{name}{ending}" for ending in (".jpg", ".cells.png"))
            charts = [_chart(score, cells, config) for score in _measured(_OF_SLIDE, cells)]
            page.layers(lower, upper, size_px=sizes[name], caption=f"{name}: {counts or 'no cell'}", charts=charts)


def _storing(status: Status, config: TilesConfig) -> str:
    """How the tiles of a slide were stored, and why, where that was for us to choose."""
    if config.format != "auto" or not status.stored:
        return ""
    told = " and ".join(f"{num:,} {_STORED[form]}" for form, num in sorted(status.stored.items(), reverse=True))
    return f" Stored without loss: {told} ({status.store_reason})."


def _css(rgb: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{level:02x}" for level in rgb)
