"""`[metrics]`: where the numbers come from, and the query of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from deploykit.model import Record
from deploykit.settings.types import Name, Seconds, Secret, Url

Unit = Literal["ms", "s", "percent", "fraction", "bytes", "count", "raw"]
Text = Annotated[str, Field(min_length=1)]


class Query(NamedTuple):
    """One configured query.

    Attributes:
        key: Its place in the settings.
        text: As it is written, with `$colour`.
        unit: Of the values.
        coloured: Whether it must tell the colours apart.
        always: Whether there are points wherever requests are served.
    """

    key: str
    text: str
    unit: str
    coloured: bool
    always: bool


class PlainMetric(Record):
    """A further metric to judge; `matters` is the smallest relative change that does, 0.1 being a tenth."""

    query: Text
    unit: Unit
    worse: Literal["increase", "decrease", "either"] = "increase"
    critical: bool = False
    matters: Annotated[float, Field(gt=0)] = 0.1


class MetricsSettings(Record):
    """Where the numbers come from. `$colour` in a query stands for blue or green.

    Attributes:
        requests: Requests served by a colour, as counts a bucket.
        errors: Failed requests of a colour, likewise.
        slow: Requests over the latency limit, likewise.
        p50, p95, p99: Percentiles of a colour's latency in ms.
        cpu: CPU of a colour in percent of one core; `memory` its resident memory in bytes.
        query_time: Time of the service's database queries in ms; needs no `$colour`, since both share the database.
        delay: How late the vendor's newest points are.
        plain: Further metrics by name: orders a minute, a queue's length.
        staging: What to replace in the queries to ask for staging: `{"env:production,colour:$colour" = "env:staging"}`.
    """

    kind: Literal["datadog"] = "datadog"
    url: Url = "https://api.datadoghq.com"
    api_key: Secret
    app_key: Secret
    requests: Text
    errors: Text
    slow: Text
    p95: Text
    p50: str = ""
    p99: str = ""
    cpu: str = ""
    memory: str = ""
    query_time: str = ""
    delay: Seconds = 30.0
    plain: dict[Name, PlainMetric] = Field(default_factory=dict)
    staging: dict[Text, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        taken = sorted({*self.plain} & {name for name, *_ in self._own()})
        if taken:
            msg = f"[metrics.plain] has names that [metrics] has already: {', '.join(taken)}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _stages(self) -> Self:
        for key in ("requests", "errors", "slow") if self.staging else ():
            text = getattr(self, key)
            if self.staged(text) == text or "$colour" in self.staged(text):
                msg = f"staging: what it replaces does not make {key} a query of staging, without $colour"
                raise ValueError(msg)
        return self

    @property
    def queries(self) -> dict[str, Query]:
        """Every query that is set, by name."""
        found = {
            name: Query(f"metrics.{name}", getattr(self, name), unit, coloured, always)
            for name, unit, coloured, always in self._own()
            if getattr(self, name)
        }
        for name, plain in self.plain.items():
            found[name] = Query(f"metrics.plain.{name}", plain.query, plain.unit, coloured=True, always=plain.critical)
        return found

    def staged(self, text: str) -> str:
        """A query of production as one of staging."""
        for old, new in self.staging.items():
            text = text.replace(old, new)
        return text

    def _own(self) -> Iterator[tuple[str, str, bool, bool]]:
        """Name, unit, whether it tells the colours apart, and whether it has points wherever requests are served."""
        yield "requests", "requests", True, True
        yield from ((name, "requests", True, False) for name in ("errors", "slow"))
        yield from ((name, "ms", True, True) for name in ("p50", "p95", "p99"))
        yield from (("cpu", "percent", True, True), ("memory", "bytes", True, True))
        yield "query_time", "ms", False, False
