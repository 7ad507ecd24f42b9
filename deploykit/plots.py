"""Pictures of figures, their text for who cannot see them, and their points. The only importer of matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure as Picture
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, FuncFormatter
from PIL import Image

from deploykit import redact

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.text import Text

    from deploykit.model import Figure, Series

#: Matplotlib promises nothing about threads, and a phase draws from its worker while a cell may draw from the kernel.
_ONE_AT_A_TIME = Lock()
_DPI, _WIDTH, _HEIGHT = 110, 900, 360
_INK, _FAINT, _BAND = "#222222", "#767676", "#d9d9d9"
_LONGEST = 90
#: Seconds in matplotlib's unit of time.
_DAY = 86400


class _Look(NamedTuple):
    """How a line is told from the others, in colour and without."""

    colour: str
    style: str | tuple[int, tuple[int, ...]]
    marker: str


#: Okabe and Ito's colours but the two that vanish on white; in grey, style and marker tell the lines apart.
_LOOKS = (
    _Look("#0072B2", "-", "o"),
    _Look("#D55E00", (0, (5, 1)), "s"),
    _Look("#009E73", (0, (3, 1, 1, 1)), "^"),
    _Look("#CC79A7", (0, (1, 1)), "D"),
    _Look("#000000", (0, (7, 2)), "v"),
    _Look("#E69F00", (0, (5, 1, 1, 1, 1, 1)), "P"),
)


@lru_cache(maxsize=64)
def draw(figure: Figure) -> bytes:
    """A figure as PNG. Figures never change, so what was drawn for the notebook serves the report too."""
    with _ONE_AT_A_TIME:
        picture = Picture(figsize=(_WIDTH / _DPI, _HEIGHT / _DPI), dpi=_DPI, facecolor="white", layout="constrained")
        canvas = FigureCanvasAgg(picture)
        lines = [(series, _points(series)) for series in figure.series]
        if any(points for _, points in lines):
            _plot(picture, figure, lines)
        else:
            _say_no_data(picture, figure)
        canvas.draw()  # type: ignore[no-untyped-call] # matplotlib's stubs omit it
        pixels = Image.fromarray(np.asarray(canvas.buffer_rgba()))  # type: ignore[no-untyped-call] # likewise
        target = io.BytesIO()
        # A notebook and a report hold dozens of these: 64 colours look the same in a third of the bytes.
        pixels.convert("RGB").quantize(64).save(target, format="png", optimize=True)
        return target.getvalue()


def alt(figure: Figure) -> str:
    """The picture in one sentence, for who cannot see it."""
    parts = [_described(series) for series in figure.series] or ["no data"]
    if figure.band:
        low, high = (_amount(edge, _unit(figure)) for edge in figure.band[-1][1:])
        parts.append(f"usual {low} to {high}")
    if figure.limit is not None:
        parts.append(f"limit {_amount(figure.limit, _unit(figure))}")
    parts += [f"{label} at {_moment(at):%H:%M:%S} UTC" for at, label in sorted(figure.marks)]
    return f"{_plain(figure.title)}: {'; '.join(map(_plain, parts))}."


def csv(figure: Figure) -> bytes:
    """The points behind a figure, with the queries that they come from as comments."""
    import pandas as pd  # noqa: PLC0415 - half a second that a picture does not need

    heads = [f"# {_line(figure.title)}"]
    heads += [f"# {_line(one.name)} [{_line(one.unit)}]: {_line(one.query) or 'no query'}" for one in figure.series]
    frames = []
    for one in figure.series:
        frame = one.frame()
        # Two points at one moment stay two rows, so that joining loses none.
        frames.append(frame.set_index(frame.groupby(level=0).cumcount().rename("n"), append=True))
    table = pd.concat(frames, axis="columns").sort_index().droplevel("n") if frames else pd.DataFrame()
    table.index.name = "time"
    return ("\n".join(heads) + "\n" + redact.text(table.to_csv())).encode()


def _plot(picture: Picture, figure: Figure, lines: Sequence[tuple[Series, list[tuple[datetime, float]]]]) -> None:
    axes = picture.add_subplot()
    for number, (_, points) in enumerate(lines):
        look = _LOOKS[number % len(_LOOKS)]
        style = {"color": look.colour, "linestyle": look.style, "marker": look.marker}
        times, values = [at for at, _ in points], [value for _, value in points]
        axes.plot(times, values, linewidth=1.8, markersize=4.5, markevery=_marked(values), **style)  # type: ignore[arg-type] # the stubs know no list of times
    _band(axes, figure)
    _dress(axes, figure)
    _limit(axes, figure)
    _marks(axes, figure)
    names = [_label(series.name) for series, _ in lines]
    handles: list[Artist] = [*axes.get_lines()[: len(names)]]
    if figure.band:
        names.append("what is usual")
        handles.append(Patch(color=_BAND))
    legend = picture.legend(
        handles, names, loc="outside lower center", ncols=min(4, len(names)), frameon=False, fontsize=9
    )
    for text in legend.get_texts():
        _literal(text)


def _marked(values: Sequence[float]) -> list[int]:
    """Which points get a marker: about a dozen, and each that stands between gaps, where there is no line to see."""
    every = max(1, len(values) // 12)
    around = [math.nan, *values, math.nan]
    alone = (math.isnan(around[index]) and math.isnan(around[index + 2]) for index in range(len(values)))
    return [index for index, lonely in enumerate(alone) if lonely or index % every == 0]


def _dress(axes: Axes, figure: Figure) -> None:
    """Axes, grid, units and title."""
    unit = _unit(figure)
    locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=8)  # type: ignore[no-untyped-call] # matplotlib's stubs omit it
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call] # likewise
    if unit == "bytes":
        axes.yaxis.set_major_formatter(EngFormatter(unit="B"))
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value * _factor(unit))))
    axes.set_xlabel("time (UTC)", fontsize=9, color=_INK)
    _literal(axes.set_ylabel(_label(_shown_unit(unit)), fontsize=9, color=_INK))
    _literal(axes.set_title(_label(figure.title), loc="left", fontsize=11, color=_INK, pad=20 if figure.marks else 8))
    axes.tick_params(labelsize=8.5, colors=_INK)
    axes.xaxis.get_offset_text().set_fontsize(8.5)
    axes.grid(visible=True, color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    values = [value for series in figure.series for _, value in series.points if value is not None]
    # A band may reach far beyond what happens: half as much again as the highest point is enough to see it.
    edge = max((high for _, _, high in figure.band), default=0.0)
    top = max([*values, figure.limit or 0.0, min(edge, 1.5 * max(values))])
    axes.set_ylim(bottom=0 if min(values) >= 0 else None, top=top * 1.15 if top > 0 else None)
    axes.margins(x=0.02)
    times = {at for series in figure.series for at, _ in series.points}
    if len(times) == 1:
        # Around a single moment matplotlib would show years.
        axes.set_xlim(*((min(times) + aside) / _DAY for aside in (-60, 60)))


def _band(axes: Axes, figure: Figure) -> None:
    """What is usual, in a grey that every line stands out from."""
    if figure.band:
        times = [_moment(at) for at, _, _ in figure.band]
        low, high = ([edges[side] for edges in figure.band] for side in (1, 2))
        axes.fill_between(times, low, high, color=_BAND, linewidth=0, zorder=0.5)  # type: ignore[arg-type] # the stubs know no list of times


def _limit(axes: Axes, figure: Figure) -> None:
    if figure.limit is None:
        return
    axes.axhline(figure.limit, color=_INK, linestyle=(0, (6, 4)), linewidth=1.2)
    # On the side where the lines keep further away from it, and readable even across one.
    right = _gap(figure, figure.limit, last=True) >= _gap(figure, figure.limit, last=False)
    place = {"xycoords": ("axes fraction", "data"), "xytext": (-3 if right else 3, 3), "textcoords": "offset points"}
    place |= {"ha": "right" if right else "left", "path_effects": [withStroke(linewidth=3, foreground="white")]}
    text = f"limit {_amount(figure.limit, _unit(figure))}"
    at = (1 if right else 0, figure.limit)
    _literal(axes.annotate(_label(text), at, fontsize=8.5, color=_INK, **place))  # type: ignore[arg-type] # the stubs know no pair of coordinate systems


def _gap(figure: Figure, limit: float, *, last: bool) -> float:
    """How far from a limit the lines stay in their last, or their first, quarter."""
    times = sorted({at for series in figure.series for at, _ in series.points})
    begin, end = (times[-1 - len(times) // 4], times[-1]) if last else (times[0], times[len(times) // 4])
    points = (point for series in figure.series for point in series.points)
    return min((abs(value - limit) for at, value in points if value is not None and begin <= at <= end), default=0.0)


def _marks(axes: Axes, figure: Figure) -> None:
    """Thin lines with their labels above, in two rows where neighbours are close."""
    start, end = axes.get_xlim()
    last, row = -math.inf, 0
    for at, label in sorted(figure.marks):
        moment = _moment(at)
        axes.axvline(moment, color=_FAINT, linewidth=1, linestyle=(0, (1, 2)))  # type: ignore[arg-type] # a time is a place
        place = at / _DAY
        row = 1 - row if place - last < (end - start) * 0.13 else 0
        last = place
        where = {"xycoords": ("data", "axes fraction"), "xytext": (0, 2 + 9 * row), "textcoords": "offset points"}
        text = axes.annotate(_label(label, 24), (moment, 1), ha="center", fontsize=8, color=_INK, **where)  # type: ignore[arg-type] # likewise
        _literal(text)


def _say_no_data(picture: Picture, figure: Figure) -> None:
    _literal(picture.text(0.02, 0.93, _label(figure.title), fontsize=11, color=_INK, va="top"))
    names = ", ".join(series.name for series in figure.series) or "nothing was asked for"
    picture.text(0.5, 0.54, "no data", fontsize=24, color=_FAINT, ha="center", va="center")
    _literal(picture.text(0.5, 0.36, _label(names), fontsize=9, color=_FAINT, ha="center", va="center"))


def _points(series: Series) -> list[tuple[datetime, float]]:
    """The points, with a gap where the vendor says that one is missing; nothing where all are."""
    if all(value is None for _, value in series.points):
        return []
    return [
        (_moment(at), math.nan if value is None else value) for at, value in sorted(series.points, key=lambda p: p[0])
    ]


def _described(series: Series) -> str:
    values = [value for _, value in sorted(series.points, key=lambda point: point[0]) if value is not None]
    if not values:
        return f"{series.name}: no data"
    first, last, least, most = (
        _amount(value, series.unit) for value in (values[0], values[-1], min(values), max(values))
    )
    return f"{series.name} from {first} to {last}, least {least}, most {most}"


def _unit(figure: Figure) -> str:
    return ", ".join(dict.fromkeys(series.unit for series in figure.series))


def _shown_unit(unit: str) -> str:
    return {"fraction": "%", "percent": "%", "count": ""}.get(unit, unit)


def _factor(unit: str) -> float:
    return 100.0 if unit == "fraction" else 1.0


def _amount(value: float, unit: str) -> str:
    return f"{_number(value * _factor(unit))} {_shown_unit(unit)}".rstrip()


def _number(value: float) -> str:
    """Four digits that count, and never a power of ten where plain digits do."""
    if value == 0 or not 1e-4 <= abs(value) < 1e9:
        return f"{value:.4g}"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _line(text: str) -> str:
    return redact.text(redact.visible(text)).replace("\n", " ").replace("\t", " ")


def _plain(text: str) -> str:
    return _line(text).rstrip(".")


def _label(text: str, longest: int = _LONGEST) -> str:
    """Text that the font can draw, short enough for its place; a leading underscore would hide it from the legend."""
    shown = "".join(c if ord(c) < 0x530 or c in "…→≤≥" else "?" for c in _line(text)).lstrip("_")
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _literal(text: Text) -> None:
    """A dollar sign is a dollar sign, not the start of a formula."""
    text.set_parse_math(False)
