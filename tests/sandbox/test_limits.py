"""A limit in windows of time, and what is told of it."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from deploykit.sandbox.limits import Window


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["a", "b"])), max_size=60), st.integers(0, 5))
def test_no_client_gets_more_than_its_limit_in_a_window(asked: list[tuple[float, str]], limit: int) -> None:
    window, now, granted = Window(limit, 10.0), 1_000_000.0, dict[tuple[int, str], int]()
    for later, client in asked:
        now += later
        with patch("time.time", return_value=now):
            standing = window.take(client)
        assert standing.limit == limit
        assert 1 <= standing.reset <= 10
        key = (int(now / 10), client)
        granted[key] = granted.get(key, 0) + (not standing.refused)
        assert granted[key] <= limit
        assert standing.refused or standing.remaining == limit - granted[key]
