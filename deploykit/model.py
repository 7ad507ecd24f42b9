"""The records that everything else passes around: frozen, typed, and JSON at any time."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, JsonValue]
Colour = Literal["blue", "green"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """A frozen record that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


def canonical(value: Any) -> bytes:
    """One UTF-8 line of JSON with sorted keys and no spaces: the form that is hashed and signed.

    Raises:
        ValueError: For NaN and infinities, which JSON does not have.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def now() -> datetime:
    """The time in UTC, to the millisecond, which is what records hold."""
    stamp = datetime.now(UTC)
    return stamp.replace(microsecond=stamp.microsecond // 1000 * 1000)


class Outcome(StrEnum):
    """How an item ended. Only `PASS` is pass."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    #: We looked, and there was not enough to tell.
    INCONCLUSIVE = "inconclusive"
    #: We could not look.
    ERROR = "error"
    #: A proved condition made it unnecessary.
    NOT_NEEDED = "not-needed"
    #: Left out by a rehearsal, or by settings with a reason.
    LEFT_OUT = "left-out"
    #: The run ended before it; written when the run is closed.
    NOT_REACHED = "not-reached"
    #: An action whose end nobody saw.
    UNKNOWN = "unknown"

    @property
    def opens(self) -> bool:
        """Whether a gate may open on it without a person's decision."""
        return self in {Outcome.PASS, Outcome.NOT_NEEDED, Outcome.LEFT_OUT}


#: From good to bad; the worst of several is the one that counts.
SEVERITY = (
    Outcome.PASS,
    Outcome.NOT_NEEDED,
    Outcome.LEFT_OUT,
    Outcome.NOT_REACHED,
    Outcome.INCONCLUSIVE,
    Outcome.ERROR,
    Outcome.FAIL,
    Outcome.UNKNOWN,
)


def worst(outcomes: list[Outcome]) -> Outcome:
    """The worst of several outcomes; nothing at all is inconclusive, never pass."""
    return max(outcomes, key=SEVERITY.index, default=Outcome.INCONCLUSIVE)


class Kind(StrEnum):
    """What an item of the checklist is."""

    CHECK = "check"
    ACTION = "action"
    SIGN_OFF = "sign-off"
    POLICY = "policy"


class Series(Record):
    """One measured quantity over time.

    Attributes:
        name: What it is, for a reader: `errors, candidate`.
        unit: `requests`, `ms`, `fraction`, `percent`, `bytes`, `count`.
        query: The exact question that was asked of the vendor.
        points: Unix seconds and value; None is a point that the vendor says is missing.
    """

    name: str
    unit: str
    query: str = ""
    points: tuple[tuple[float, float | None], ...] = ()

    @model_validator(mode="after")
    def _finite(self) -> Self:
        for at, value in self.points:
            if not math.isfinite(at) or (value is not None and not math.isfinite(value)):
                msg = f"{self.name}: a point that is not a finite number, at {at}"
                raise ValueError(msg)
        return self

    @property
    def total(self) -> float:
        """The sum of the points that are there."""
        return math.fsum(value for _, value in self.points if value is not None)

    def frame(self) -> pd.DataFrame:
        """A data frame with one column named after the series and a UTC time index."""
        import pandas as pd  # noqa: PLC0415 - half a second that most commands do not need

        index = pd.to_datetime([at for at, _ in self.points], unit="s", utc=True)
        index.name = "time"
        return pd.DataFrame({self.name: [value for _, value in self.points]}, index=index, dtype="float64")


class Answer(StrEnum):
    """What the judge says of a release."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    HOLD = "hold"
    ROLL_BACK = "rollback"

    @property
    def outcome(self) -> Outcome:
        """What it means for the item that asked."""
        return {Answer.PASS: Outcome.PASS, Answer.HOLD: Outcome.INCONCLUSIVE}.get(self, Outcome.FAIL)


class Finding(Record):
    """What one metric says.

    Attributes:
        metric: `errors`, `latency`, ...
        answer: Pass, hold or roll back, on this metric alone.
        reason: One sentence with the numbers.
        numbers: What the sentence was made from, in the metric's unit.
    """

    metric: str
    answer: Answer
    reason: str
    numbers: dict[str, float | None] = Field(default_factory=dict)


class Verdict(Record):
    """The judge's answer, with its reason and its numbers.

    Attributes:
        certain_at: Unix seconds of the look that made it certain, where it says to go back.
    """

    answer: Answer
    reason: str
    findings: tuple[Finding, ...] = ()
    certain_at: float | None = None


class Table(Record):
    """Rows for a reader; every cell is plain text or a number."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]


class Figure(Record):
    """A picture to draw from points: what it shows, not how.

    Attributes:
        series: Lines over time.
        limit: A line that must not be crossed, in the unit of the series.
        marks: Moments worth a line: unix seconds and a label.
        band: What is usual: unix seconds, lowest and highest value, in the unit of the series.
    """

    title: str
    series: tuple[Series, ...]
    limit: float | None = None
    band: tuple[tuple[float, float, float], ...] = ()
    marks: tuple[tuple[float, str], ...] = ()


class Evidence(Record):
    """What a result rests on; written to the archive under its own hash.

    Attributes:
        facts: Names and plain values, in the order to show them.
        text: Preformatted text from outside (a log, a smoke test's output).
    """

    facts: dict[str, JsonValue] = Field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    verdict: Verdict | None = None
    text: str = ""
    links: dict[str, str] = Field(default_factory=dict)


class Result(Record):
    """How an item, or a step of one, ended.

    Attributes:
        item: The id in the checklist, or a step below it: `blue-green.traffic/10`.
        summary: One sentence for a reader.
        mend: What to do next where it did not pass.
    """

    item: str
    outcome: Outcome
    summary: str
    evidence: Evidence = Evidence()
    mend: str = ""


class DecisionKind(StrEnum):
    """What a person decided."""

    SIGNED = "signed"
    REFUSED = "refused"
    OVERRIDDEN = "overridden"
    #: What somebody saw of a step whose end nobody saw.
    HAPPENED = "happened"
    DID_NOT = "did-not"
    #: A lock whose holder is gone.
    BROKEN = "broken"
    #: A decision that its maker takes back before it was used.
    REVOKED = "revoked"
    #: What was overridden, looked at afterwards by somebody else.
    REVIEWED = "reviewed"

    @property
    def resolves(self) -> bool:
        """Whether it settles a step whose end nobody saw."""
        return self in {DecisionKind.HAPPENED, DecisionKind.DID_NOT}

    @property
    def answers(self) -> bool:
        """Whether it is about an earlier decision."""
        return self in {DecisionKind.REVOKED, DecisionKind.REVIEWED}


class Decision(Record):
    """A person's signed word on an item, a step of one, or a lock: beside an outcome and never instead of it.

    Attributes:
        signer: The SSH principal that the signature proves.
        statement: Hash of the exact bytes that were signed, kept in the archive.
        until: When it can no longer be used.
    """

    item: str
    kind: DecisionKind
    signer: str
    statement: Sha256
    comment: str = ""
    at: AwareDatetime
    until: AwareDatetime | None = None


class Arm(Record):
    """One colour in this run: where it runs and what it serves."""

    colour: Colour
    version: str
    url: str
    platform_service: str


class TrafficStep(Record):
    """One step of the shift: the candidate's share, and how long and how much traffic it must stand."""

    percent: int = Field(ge=1, le=100)
    seconds: float = Field(gt=0)
    requests: int = Field(ge=0)


class Plan(Record):
    """What a run will do, frozen when it is made; its hash is what people approve.

    Attributes:
        release: The tag that is deployed; `commit` is what it resolved to.
        live: Serves at the start and is what a rollback means. `candidate` is brought in.
        time_scale: 1 in production; 60 makes a minute last a second, and every record says so.
        notebooks: File name and hash of each notebook's ordered code.
        settings: Hash of the settings file.
        authors: Who wrote a change in the release, as the code host names them.
    """

    v: Literal[1] = 1
    run: str
    number: int
    service: str
    environment: str
    release: str
    commit: str
    operator: str
    solo: bool
    made_at: AwareDatetime
    made_with: str
    live: Arm
    candidate: Arm
    steps: tuple[TrafficStep, ...]
    watch_seconds: float
    hold_limit_seconds: float
    guard_seconds: float
    time_scale: float = 1.0
    rehearsal: bool = False
    sandbox: bool = False
    notebooks: dict[str, Sha256]
    settings: Sha256
    authors: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """SHA-256 of the plan's canonical form."""
        return sha256(canonical(self.model_dump(mode="json")))

    def scaled(self, seconds: float) -> float:
        """How long `seconds` of the runbook last in this run."""
        return seconds / self.time_scale
