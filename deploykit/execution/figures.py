"""Pictures of an action's steps, put together into one of the whole."""

from __future__ import annotations

from deploykit.model import Figure


def joined(parts: tuple[tuple[Figure, ...], ...]) -> tuple[Figure, ...]:
    """Figures of the same title as one: their lines by name, end to end, with all marks."""
    known: dict[str, Figure] = {}
    for figure in (figure for part in parts for figure in part):
        before = known.get(figure.title)
        known[figure.title] = _after(before, figure) if before else figure
    return tuple(known.values())


def _after(before: Figure, figure: Figure) -> Figure:
    lines = {series.name: series for series in before.series}
    for series in figure.series:
        earlier = lines[series.name].points if series.name in lines else ()
        points = tuple(sorted({**dict(earlier), **dict(series.points)}.items()))
        lines[series.name] = series.model_copy(update={"points": points})
    update = {"series": tuple(lines.values()), "marks": before.marks + figure.marks, "band": before.band + figure.band}
    return figure.model_copy(update=update)
