"""A plan as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hdgan.pipeline.plan import Plan


def lines(plan: Plan) -> Iterator[str]:
    """The plan, a paragraph for each stage, the sums last."""
    yield f"plan for {plan.root} (estimates are rough: within a factor of 3)"
    for row in plan.rows:
        yield ""
        because = f": {', '.join(row.standing.fields)}" if row.standing.fields else ""
        yield f"{row.stage}  [{row.standing.state}{because}]"
        yield f"  reads   {row.reads}"
        yield f"  writes  {row.writes}"
        need = row.need
        yield f"  memory  {size(need.memory)}, disk {size(need.disk)}"
        gpu = f", {duration(need.gpu_seconds)} on one data-centre GPU" if need.gpu_seconds is not None else ""
        yield f"  time    {duration(need.cpu_seconds)} on {plan.cores} processor core{'s' if plan.cores != 1 else ''}{gpu}"
        yield from (f"  note    {note}" for note in row.notes)
    yield ""
    if all(row.standing.state == "current" for row in plan.rows):
        yield "still to do: nothing"
        return
    yield f"still to do: disk {size(plan.disk)}, time {duration(plan.cpu_seconds)} here, {duration(plan.gpu_seconds)} with a GPU"


def size(num_bytes: float | None) -> str:
    """Bytes as people read them."""
    if num_bytes is None:
        return "unknown"
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if num_bytes >= scale:
            amount = num_bytes / scale
            return f"{amount:.0f} {unit}" if amount >= 10 else f"{amount:.1f} {unit}"
    return f"{max(num_bytes / 1024, 1):.0f} KiB"


def duration(seconds: float | None) -> str:
    """An estimated duration, as coarse as the estimate."""
    if seconds is None:
        return "unknown"
    for unit, scale in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * scale:
            amount = seconds / scale
            return f"about {amount:.0f} {unit}" if amount >= 10 else f"about {amount:.1f} {unit}"
    return f"about {max(seconds, 1.0):.0f} s"
