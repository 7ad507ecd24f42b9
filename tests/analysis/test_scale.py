from __future__ import annotations

import math

import pytest

from deploykit.analysis.scale import FAR, scale_of


@pytest.mark.parametrize("unit", ["ms", "raw", "bytes"])
@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e9])
def test_a_place_is_as_far_in_every_unit(unit: str, factor: float) -> None:
    small, large = scale_of([100.0, 120.0], unit, "increase"), scale_of([100 * factor, 120 * factor], unit, "increase")
    apart = [
        scale.place(b) - scale.place(a) for scale, a, b in ((small, 100, 300), (large, 100 * factor, 300 * factor))
    ]
    assert apart[0] == pytest.approx(apart[1])


def test_a_share_is_the_same_as_its_percentage() -> None:
    share, percent = scale_of([0.02], "fraction", "increase"), scale_of([2.0], "percent", "increase")
    far = share.place(0.1) - share.place(0.02)
    assert far == pytest.approx(percent.place(10.0) - percent.place(2.0))


def test_a_success_rate_is_judged_by_its_failures() -> None:
    scale = scale_of([99.9, 100.0], "percent", "decrease")
    assert scale.top == 100.0
    assert scale.place(98.0) > scale.place(99.9) > scale.place(100.0)
    assert scale.value(scale.place(98.0)) == pytest.approx(98.0)
    assert scale_of([40.0], "percent", "decrease").top == 0.0


def test_where_all_was_zero_anything_else_is_far() -> None:
    scale = scale_of([0.0, 0.0], "raw", "increase")
    assert (scale.place(0.0), scale.place(1e-9), scale.place(-3.0)) == (0.0, FAR, -FAR)
    assert scale.value(5.0) == 0.0


def test_negative_values_make_it_straight() -> None:
    scale = scale_of([-10.0, 10.0, 5.0], "raw", "either")
    assert scale.linear
    assert scale.value(scale.place(-7.0)) == pytest.approx(-7.0)


def test_a_tenth_is_what_matters_and_no_less_than_a_thousandth_of_a_share() -> None:
    scale = scale_of([200.0], "ms", "increase")
    assert scale.value(scale.place(200.0) + scale.margin(scale.place(200.0))) == pytest.approx(220.0)
    share = scale_of([0.0], "fraction", "increase")
    assert share.value(share.place(0.0) + share.margin(share.place(0.0))) == pytest.approx(0.001)


@pytest.mark.parametrize("value", [0.0, 0.5, 100.0, 1e6])
def test_places_are_turned_back(value: float) -> None:
    scale = scale_of([50.0, 60.0], "ms", "increase")
    assert scale.value(scale.place(value)) == pytest.approx(value, abs=1e-9)
    assert math.isfinite(scale.value(1e9))
