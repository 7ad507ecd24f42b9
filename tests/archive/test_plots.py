from __future__ import annotations

import io
import math
import struct
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from deploykit import plots
from deploykit.model import Figure, Series

START = 1_790_000_000.0


def series(name: str = "errors, candidate", unit: str = "fraction", level: float = 0.0004, count: int = 90) -> Series:
    points = tuple((START + 20 * i, level * (1 + 0.3 * math.sin(i / 5))) for i in range(count))
    return Series(name=name, unit=unit, query="sum:errors{colour:blue}", points=points)


def figure(**changes: object) -> Figure:
    whole = Figure(
        title="Error share",
        series=(series(), series("errors, live", level=0.0003)),
        limit=0.001,
        marks=((START + 100, "traffic 10 %"), (START + 700, "50 %"), (START + 1300, "100 %")),
    )
    return whole.model_copy(update=changes)


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"series": (), "marks": ()},
        {"series": (Series(name="cpu", unit="percent", points=((START, None), (START + 1, None))),)},
        {"series": (Series(name="cpu", unit="percent", points=((START, 40.0),)),), "marks": ()},
        {"series": (series(level=0.0),), "limit": None},
        {"series": (series(level=-1.0),), "limit": None},
        {"series": (series("memory", "bytes", 3e8),), "limit": 4e8},
        {"title": r"$\frac{1}{$ <b>\u202e漢字 🙂 " + "x" * 200},
        {"series": (series("_hidden $x$"),)},
        {"marks": ((START, "one"), (START + 1, "two"), (START + 2, "three"))},
        {"series": tuple(series(f"line {n}", level=n / 1e4) for n in range(8))},
    ],
)
def test_every_figure_becomes_a_small_picture(changes: dict[str, object]) -> None:
    png = plots.draw(figure(**changes))
    assert size(png) == (900, 360)
    assert len(png) < 60_000


def test_no_data_is_said_and_is_no_empty_axis() -> None:
    nothing = Series(name="cpu", unit="percent")
    assert plots.draw(figure(series=(nothing,))) != plots.draw(figure(series=(series(),)))
    assert "cpu: no data" in plots.alt(figure(series=(nothing,)))


def test_pictures_are_drawn_from_threads_and_are_the_same_each_time() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(plots.draw.__wrapped__, [figure()] * 8))) == 1


def test_the_alternative_text_has_the_numbers() -> None:
    points = ((START, 0.001), (START + 10, 0.004), (START + 20, None), (START + 30, 0.002))
    one = Series(name="errors, candidate", unit="fraction", points=points)
    said = plots.alt(Figure(title="Error share", series=(one,), limit=0.001, marks=((START, "10 %"),)))
    assert said == (
        "Error share: errors, candidate from 0.1 % to 0.2 %, least 0.1 %, most 0.4 %; limit 0.1 %;"
        " 10 % at 14:13:20 UTC."
    )


def test_what_is_usual_is_drawn_and_told() -> None:
    band = ((START, 0.0001, 0.0006), (START + 1800, 0.0001, 0.0006))
    assert plots.draw(figure(band=band)) != plots.draw(figure())
    assert "usual 0.01 % to 0.06 %" in plots.alt(figure(band=band))


def test_the_points_come_back_from_the_csv_with_their_queries() -> None:
    late = Series(name="live", unit="ms", query="q2", points=((START + 10, 2.0), (START + 10, 3.0), (START + 20, None)))
    early = Series(name="candidate", unit="ms", query="q1\nq1b", points=((START, 1.0), (START + 10, 5.0)))
    data = plots.csv(Figure(title="p95", series=(early, late)))
    assert data.decode().splitlines()[:3] == ["# p95", "# candidate [ms]: q1 q1b", "# live [ms]: q2"]
    table = pd.read_csv(io.BytesIO(data), comment="#", index_col="time", parse_dates=True)
    assert table["candidate"].tolist()[:2] == [1.0, 5.0]
    assert table["live"].dropna().tolist() == [2.0, 3.0]
    assert len(table) == 4
    assert str(table.index[0]) == "2026-09-21 14:13:20+00:00"


def test_a_figure_without_series_still_has_a_csv() -> None:
    assert plots.csv(Figure(title="nothing", series=())).startswith(b"# nothing\n")


def test_a_point_between_gaps_is_marked_for_there_is_no_line_to_see() -> None:
    gap = math.nan
    values = [1.0, 2.0, gap, 3.0, gap, *[4.0] * 40]
    marked = plots._marked(values)
    assert 3 in marked
    assert 1 not in marked
    assert len(marked) < 20


def test_the_band_of_what_is_usual_is_told_apart() -> None:
    usual = ((START, 0.0002, 0.0005), (START + 1780, 0.0002, 0.0005))
    with_band, without = plots.draw(figure(band=usual)), plots.draw(figure())
    assert with_band != without
    assert "usual 0.02 % to 0.05 %" in plots.alt(figure(band=usual))


def test_the_limits_label_stands_where_the_lines_do_not() -> None:
    high = tuple((START + 20 * i, 0.0001 if i < 60 else 0.001) for i in range(90))
    late = figure(series=(series().model_copy(update={"points": high}),))
    assert plots._gap(late, 0.001, last=False) > plots._gap(late, 0.001, last=True) == 0
