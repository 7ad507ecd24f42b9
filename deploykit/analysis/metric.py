"""One plain metric over a deployment, look by look: its past, the control, and what the candidate shows."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from deploykit.analysis.constants import FEWEST, LEVELS, MATTERS
from deploykit.analysis.points import Point, clean, growth, is_counter
from deploykit.analysis.reference import Reference, from_control, from_history
from deploykit.analysis.series import SeriesTest

#: So many of the control's newest points are its level; a look's cost does not grow with the deployment.
CONTROL_POINTS = 60
#: So many of the candidate's newest points are shown as its level.
RECENT = 15


@dataclass(frozen=True)
class Metric:
    """What a metric is.

    Attributes:
        unit: `fraction`, `percent`, `ms`, `count`, `raw` and so on.
        worse: `increase`, `decrease` or `either`.
        critical: Whether it alone is enough, with ordinary evidence.
        matters: The smallest relative change that does: 0.1 is a tenth.
        part: Of the evidence that is enough, beside metrics that are as critical.
    """

    name: str
    unit: str
    worse: str = "increase"
    critical: bool = True
    matters: float = MATTERS
    part: float = 1.0


class MetricWatch:
    """The state of one metric. A look costs the same however long the deployment lasts.

    Args:
        metric: What it is.
        baseline: Its points before the change, in any order; None is missing.
        controlled: Whether a control is measured at the same time. Then the candidate has to be worse than both.
    """

    def __init__(
        self, metric: Metric, baseline: Iterable[tuple[float, float | None]], *, controlled: bool = False
    ) -> None:
        self.metric = metric
        known = clean(baseline)
        self.counter = metric.unit == "count" and is_counter(known)
        past = growth(known) if self.counter else known
        unit = "raw" if self.counter else metric.unit
        self._past = _Side(metric.worse, from_history(past, unit, metric.worse, metric.matters))
        self._control = _Control(metric, unit) if controlled else None
        self._last: dict[str, Point] = {}
        self.log_e = 0.0
        #: What the last known point added to it.
        self.gain = 0.0
        self.seen = 0
        self.recent: deque[Point] = deque(maxlen=RECENT)

    @property
    def reference(self) -> Reference | None:
        """What it is held against, for a reader: the past, else the control."""
        return self._past.reference or (self._control.side.reference if self._control else None)

    @property
    def compared(self) -> bool:
        """Whether there is something that was really measured to hold it against: silence alone lets nothing pass."""
        return self._past.reference is not None or (self._control is not None and self._control.measured)

    @property
    def strays(self) -> list[float]:
        """Those of the newest values that lie beyond the usual in the direction of worse."""
        reference = self.reference
        if not reference:
            return []
        residuals = [(reference.residual(at, value), value) for at, value in self.recent]
        if self.metric.worse == "either":
            return [value for residual, value in residuals if abs(residual) > LEVELS[0]]
        side = -1 if self.metric.worse == "decrease" and not reference.scale.top else 1
        return [value for residual, value in residuals if side * residual > LEVELS[0]]

    def update(self, at: float, value: float | None, control: float | None = None, noise: float = 1.0) -> float:
        """One look, later than all before. Returns the log e-value for "worse".

        Args:
            at: Unix seconds.
            value: The candidate's; None where it is missing.
            control: The control's, likewise.
            noise: How many times noisier the candidate's is than the reference's, having fewer requests behind it.
        """
        known = value is not None and math.isfinite(value)
        self.seen += known
        value, control = self._rate("live", at, value), self._rate("control", at, control)
        if value is not None:
            self.recent.append((at, value))
        logs = []
        if self._past.reference:
            logs.append(self._past.update(at, value, noise))
        if self._control:
            beside = self._control.update(at, value, control, noise)
            # A control that is late is waited for; one that never says anything is none.
            if self._control.side.reference or self._control.expected or not logs:
                logs.append(beside)
        before, self.log_e = self.log_e, min(logs, default=0.0)
        self.gain = self.log_e - before if value is not None else self.gain
        return self.log_e

    def _rate(self, arm: str, at: float, value: float | None) -> float | None:
        """The value, or a counter's growth since the last one; what is not a number is missing."""
        if value is None or not math.isfinite(value):
            return None
        if not self.counter:
            return value
        before = self._last.get(arm)
        self._last[arm] = (at, value)
        return growth([before, (at, value)])[0][1] if before and before[0] < at else None


class _Side:
    """The test against one reference, and the points that wait for it."""

    def __init__(self, worse: str, reference: Reference | None) -> None:
        self.worse, self.reference = worse, reference
        self._test: SeriesTest | None = None
        self._waiting: list[tuple[float, float, float]] = []

    def update(self, at: float, value: float | None, noise: float) -> float:
        if value is not None:
            self._waiting.append((at, value, noise))
        if self.reference:
            self._test = self._test or SeriesTest(self.reference, self.worse)
            for point in self._waiting:
                self._test.update(self.reference, *point)
            self._waiting.clear()
        return self._test.log_e if self._test else 0.0


class _Control:
    """The test against what the control shows at the same time."""

    def __init__(self, metric: Metric, unit: str) -> None:
        self.side = _Side(metric.worse, None)
        self._unit, self._matters = unit, metric.matters
        self._points: deque[Point] = deque(maxlen=CONTROL_POINTS)
        # Errors are often sent only where there are some: nothing from the control, beside something, is none.
        self._sparse = unit == "count" and metric.worse == "increase"
        self._reported = False
        self._looks: deque[float] = deque(maxlen=CONTROL_POINTS)
        #: Whether the reference rests on what the control said, and not on its silence.
        self.measured = False

    @property
    def expected(self) -> bool:
        """Whether it may still come."""
        return bool(self._points) or len(self._looks) < FEWEST

    def update(self, at: float, value: float | None, control: float | None, noise: float) -> float:
        self._looks.append(at)
        if control is not None:
            self._points.append((at, control))
        self._reported = self._reported or value is not None
        points = list(self._points)
        if self._sparse and not points and self._reported:
            points = [(look, 0.0) for look in self._looks]
            value = value or 0.0
        self.measured = self.measured or (bool(self._points) and len(points) >= FEWEST - 1)
        self.side.reference = from_control(points, self._unit, self.side.worse, self._matters) or self.side.reference
        return self.side.update(at, value, noise)
