from __future__ import annotations

import threading

import pytest

from deploykit.providers._deadline import within
from deploykit.providers._faults import Fault, Why


def test_what_a_call_brings_or_raises_is_passed_on() -> None:
    assert within(5, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0)
    with pytest.raises(KeyboardInterrupt):
        within(5, _interrupted)


def _interrupted() -> None:
    raise KeyboardInterrupt


def test_a_call_that_takes_too_long_is_late_and_left_to_itself() -> None:
    over, ended = threading.Event(), threading.Event()

    def slow() -> None:
        over.wait(30)
        ended.set()

    with pytest.raises(Fault) as caught:
        within(0, slow)
    assert caught.value.why is Why.LATE
    over.set()
    assert ended.wait(30)
