"""All metrics of a deployment together: evidence added up so that more metrics raise no more false alarms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from deploykit.analysis.bets import log_sum_exp
from deploykit.analysis.constants import (
    ALPHA,
    ALPHA_SERIES,
    FEWEST_LIVE,
    LATE_LOOKS,
    MINOR,
    SEEN_LIMIT,
    SEEN_RATE,
    SEEN_RATIO,
)
from deploykit.analysis.counts import CountWatch
from deploykit.analysis.describe import describe_count, describe_series, seen_by
from deploykit.analysis.metric import Metric, MetricWatch
from deploykit.analysis.rates import Bucket
from deploykit.model import Answer, Finding, Verdict

#: Units of what is a statistic over requests, and so noisier where there are fewer.
OVER_REQUESTS = {"ms", "s", "fraction"}

Watch = CountWatch | MetricWatch
#: A multiple from here on is not worth saying.
MANY = 100.0
#: What one look brings for a metric: a bucket of counts, or the candidate's and the control's value.
Seen = Bucket | tuple[float | None, float | None]


@dataclass
class Member:
    """One metric of a panel: what it is, its state, and its part of the evidence."""

    metric: Metric
    watch: Watch
    weight: float = 0.0
    quiet: int = 0
    #: Log evidence of its family before its weight would suffice alone.
    needed: float = field(default=0.0)


class Panel:
    """The state of all metrics. A look costs the same however long the deployment lasts.

    The weighted mean of e-values is an e-value whatever their dependence (Vovk, Wang, "E-values: calibration,
    combination and applications", Annals of Statistics 2021). Counts and plain series are two families, because the
    noise of a count is known and that of a series is only guessed from its past.

    Args:
        counts: Counted metrics, by what they are.
        series: Plain ones.
        requests: So many requests of the candidate are needed to pass; None asks for what could have been seen.
    """

    def __init__(
        self,
        counts: Iterable[tuple[Metric, CountWatch]],
        series: Iterable[tuple[Metric, MetricWatch]],
        *,
        requests: float | None = None,
    ) -> None:
        self.counts = _weighted([Member(metric, watch) for metric, watch in counts], ALPHA)
        # Beside counts a plain series has to be as sure as they are.
        alpha = ALPHA if self.counts else ALPHA_SERIES
        self.series = _weighted([Member(metric, watch) for metric, watch in series], alpha)
        self.requests = requests
        self.looks = 0
        self.began: float | None = None
        self.latest: float | None = None
        self.certain_at: float | None = None
        self._why: Verdict | None = None

    @property
    def members(self) -> list[Member]:
        """All metrics."""
        return [*self.counts, *self.series]

    @property
    def evidence(self) -> tuple[float, float]:
        """Log evidence for going back over what certainty needs, of both families: 1 is enough."""
        return _part(self.counts, ALPHA), _part(self.series, ALPHA if self.counts else ALPHA_SERIES)

    def update(self, at: float, seen: Mapping[str, Seen]) -> None:
        """One look, later than all before.

        Args:
            at: Unix seconds.
            seen: By the metric's name; one that is not there is missing.
        """
        if self.latest is not None and at <= self.latest:
            return
        self.looks += 1
        self.began, self.latest = (at if self.began is None else self.began), at
        noise = self._noise(seen)
        for member in self.members:
            missing = _feed(member, at, seen.get(member.metric.name), noise)
            member.quiet = member.quiet + 1 if missing else 0
        if self.certain_at is None and max(self.evidence) >= 1:
            self.certain_at = at
            strongest = self._strongest()
            reason = self._finding(strongest, decides=True).reason
            self._why = self._verdict(Answer.ROLL_BACK, reason, strongest)

    def _noise(self, seen: Mapping[str, Seen]) -> float:
        """How much noisier a statistic over the candidate's requests is than one over all of live's."""
        for member in self.counts:
            bucket = seen.get(member.metric.name)
            if (
                isinstance(member.watch, CountWatch)
                and isinstance(bucket, Bucket)
                and bucket.sound
                and bucket.requests > 0
            ):
                return math.sqrt(max(member.watch.usually_served, bucket.control_requests) / bucket.requests)
        return 1.0

    def verdict(self) -> Verdict:
        """What all looks together say. Once certain, it stays so."""
        if self._why:
            return self._why
        missing = self._missing()
        if missing:
            return self._verdict(Answer.HOLD, missing)
        return self._verdict(Answer.PASS, f"nothing speaks for going back; {self._sight()}")

    def _verdict(self, answer: Answer, reason: str, strongest: Member | None = None) -> Verdict:
        findings = tuple(self._finding(member, decides=member is strongest) for member in self.members)
        return Verdict(answer=answer, reason=reason, findings=findings, certain_at=self.certain_at)

    def _finding(self, member: Member, *, decides: bool = False) -> Finding:
        watch, look = member.watch, self._rhythm()
        # The strongest of several that are enough together is the one that decides.
        needed = min(member.needed, watch.log_e) if decides else member.needed
        if isinstance(watch, CountWatch):
            return describe_count(member.metric, watch, needed, look)
        return describe_series(member.metric, watch, needed, look)

    def _rhythm(self) -> float:
        """Seconds a look."""
        if self.began is None or self.latest is None or self.looks < 2:
            return 0.0
        return (self.latest - self.began) / (self.looks - 1)

    def _strongest(self) -> Member:
        family = self.counts if self.evidence[0] >= 1 else self.series
        return max(family, key=lambda one: one.watch.log_e - one.needed)

    def _missing(self) -> str:
        """What keeps the panel from passing, or nothing."""
        critical = [member for member in self.members if member.metric.critical] or self.members
        if not critical or not self.looks:
            return "nothing was measured yet"
        for member in critical:
            lack = _lack(member)
            if lack:
                return lack
        if all(member.quiet >= LATE_LOOKS for member in critical):
            return f"no critical metric was seen in the last {LATE_LOOKS} looks"
        return self._too_quiet([member for member in critical if isinstance(member.watch, CountWatch)])

    def _too_quiet(self, counts: list[Member]) -> str:
        for member in counts:
            watch = member.watch
            assert isinstance(watch, CountWatch)  # noqa: S101 - they were chosen by this
            served = watch.served
            if self.requests is not None:
                if served < self.requests:
                    return f"the candidate served {served:,.0f} requests; {self.requests:,.0f} are needed to pass"
                continue
            ratio, rate = seen_by(watch, member.needed)
            if ratio > SEEN_RATIO and rate > max(SEEN_RATE, SEEN_LIMIT * (watch.limit or 0.0)):
                return (
                    f"too little traffic: {served:,.0f} requests would not have shown {SEEN_RATIO:g} times the"
                    f" {member.metric.name}"
                )
        return ""

    def _sight(self) -> str:
        """The smallest worsening that would have been seen, for a reader."""
        for member in self.counts:
            assert isinstance(member.watch, CountWatch)  # noqa: S101 - that is what the family holds
            ratio, rate = seen_by(member.watch, member.needed)
            if math.isfinite(ratio):
                # Beside hardly any, a multiple says nothing.
                times = f"{ratio:.2g} times the {member.metric.name}" if ratio < MANY else member.metric.name
                return f"{times} ({rate:.2%}) would have been seen"
        return f"{self.looks} looks"


def _weighted(members: list[Member], alpha: float) -> list[Member]:
    """Give each metric its part: those that are not critical share a smaller one."""
    critical = [member for member in members if member.metric.critical] or members
    others = [member for member in members if member not in critical]
    for group, part in ((critical, 1 - MINOR if others else 1.0), (others, MINOR)):
        whole = math.fsum(member.metric.part for member in group)
        for member in group:
            member.weight = part * member.metric.part / whole
            member.needed = -math.log(alpha * member.weight)
    return members


def _part(members: list[Member], alpha: float) -> float:
    if not members:
        return 0.0
    return log_sum_exp(math.log(member.weight) + member.watch.log_e for member in members) / -math.log(alpha)


def _feed(member: Member, at: float, seen: Seen | None, noise: float) -> bool:
    """Hand a look on; returns whether the candidate's side was missing."""
    if isinstance(member.watch, CountWatch):
        bucket = seen if isinstance(seen, Bucket) else Bucket(0.0, 0.0)
        member.watch.update(at, bucket)
        return bucket.requests <= 0
    value, control = seen if isinstance(seen, tuple) else (None, None)
    before = member.watch.seen
    member.watch.update(at, value, control, max(noise, 1.0) if member.metric.unit in OVER_REQUESTS else 1.0)
    return member.watch.seen == before


def _lack(member: Member) -> str:
    name, watch = member.metric.name, member.watch
    if isinstance(watch, CountWatch):
        return "" if watch.served > 0 else "no requests of the candidate are known yet"
    if watch.seen < FEWEST_LIVE:
        return f"{name}: {watch.seen or 'no'} points of the candidate are known"
    return "" if watch.compared else f"{name}: nothing to compare with, neither a past nor a control"
