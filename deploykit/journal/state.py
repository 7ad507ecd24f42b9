"""Where a run stands: the journal, folded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from deploykit.checklist import checklist
from deploykit.journal.events import Event, Type
from deploykit.journal.words import Words
from deploykit.model import Decision, DecisionKind, Json, Kind, Outcome, now


class StepPhase(StrEnum):
    """How far one step got."""

    INTENDED = "intended"
    HAPPENED = "happened"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class Status(StrEnum):
    """Where the run stands as a whole."""

    OPEN = "open"
    DONE = "done"
    HELD = "held"
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"
    ABORTED = "aborted"


@dataclass(frozen=True)
class Settled:
    """An item's recorded outcome; the evidence lies in the archive under its hash.

    Attributes:
        gathered: Of a sign-off: whether there is something to sign over by now.
    """

    item: str
    outcome: Outcome
    summary: str
    mend: str
    evidence: str
    seq: int
    at: str
    gathered: bool = True


@dataclass(frozen=True)
class Step:
    """The newest word on one step.

    Attributes:
        intent: What the newest intent said, and `intended` the hash of its event.
        tries: How many operations there were; one that is repeated under its own id counts once.
        at: When the newest word was written.
    """

    step: str
    item: str
    op: str
    phase: StepPhase
    data: Json
    seq: int
    intent: Json = field(default_factory=dict)
    intended: str = ""
    tries: int = 0
    at: str = ""

    @property
    def unseen(self) -> bool:
        """Whether it began and nobody saw its end."""
        return self.phase in {StepPhase.INTENDED, StepPhase.UNKNOWN}


_STEP = {
    Type.STEP_INTENDED: StepPhase.INTENDED,
    Type.STEP_HAPPENED: StepPhase.HAPPENED,
    Type.STEP_REJECTED: StepPhase.REJECTED,
    Type.STEP_UNKNOWN: StepPhase.UNKNOWN,
}


@dataclass
class State:
    """A run, as its events tell it."""

    items: dict[str, Settled] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    words: Words = field(default_factory=Words)
    #: Phase id to `passed` or the reason why not; a phase that is under way is not here.
    phases: dict[str, str] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    status: Status = Status.OPEN
    sealed: bool = False
    #: Why traffic was sent back, once it was.
    returned: str = ""
    #: Why the run was rolled back, once it was.
    rolled_back: str = ""
    last: Event | None = None

    @property
    def unknown(self) -> tuple[Step, ...]:
        """Steps that began and whose end nobody saw."""
        return tuple(step for step in self.steps.values() if step.unseen)

    def add(self, event: Event) -> None:
        """Take in the next event."""
        self.last = event
        self.words.hear(event)
        if event.type in _STEP:
            _step(self, event)
        else:
            _TAKE.get(event.type, _ignore)(self, event)

    def hear(self, entry: Json) -> None:
        """Take in what was only spooled: a rollback counts from the moment it was asked for."""
        data = entry.get("data")
        reason = str(data.get("reason", "")) if isinstance(data, dict) else ""
        if entry.get("type") == Type.ROLLBACK_ASKED.value:
            self.rolled_back = self.rolled_back or reason
        elif entry.get("type") == Type.TRAFFIC_RETURNED.value:
            self.returned = self.returned or reason

    def opens(self, item: str, at: datetime | None = None) -> bool:
        """Whether an item lets a gate open as the journal tells it; at the moment of use, `signoff.gate` is asked.

        Args:
            item: The item's id.
            at: The moment, when an override must not have expired; None is now.
        """
        return self.passes(item) or self.decided(item, at) is not None

    def passes(self, item: str) -> bool:
        """Whether an item's outcome lets a gate open, without anybody's word."""
        settled = self.items.get(item)
        if settled is None or settled.outcome is Outcome.UNKNOWN or item in self.words.refused:
            return False
        return settled.outcome.opens or self._made_up_for(item)

    def decided(self, item: str, at: datetime | None = None) -> Event | None:
        """The decision by which a gate opens on an item that did not pass."""
        settled, decision = self.items.get(item), self.decisions.get(item)
        if settled is None or settled.outcome is Outcome.UNKNOWN or item in self.words.refused or decision is None:
            return None
        usable = decision.until is None or decision.until > (at or now())
        opens = self.gathered(item) if decision.kind is DecisionKind.SIGNED else usable
        return self.words.made.get(item) if opens and decision.kind is not DecisionKind.REFUSED else None

    def _made_up_for(self, item: str) -> bool:
        instead = next((known.instead for known in checklist().item if known.id == item), "")
        other = self.items.get(instead)
        return other is not None and other.outcome is Outcome.PASS

    def gathered(self, item: str) -> bool:
        """Whether a sign-off's evidence lies ready to be signed over."""
        settled = self.items.get(item)
        asks = any(known.id == item and known.kind is Kind.SIGN_OFF for known in checklist().item)
        return asks and settled is not None and settled.outcome is Outcome.INCONCLUSIVE and settled.gathered


def _step(state: State, event: Event) -> None:
    before = state.steps.get(event.step)
    intent, intended, tries = (before.intent, before.intended, before.tries) if before else ({}, "", 0)
    if event.type is Type.STEP_INTENDED:
        tries += before is None or before.op != event.op
        intent, intended = event.data, event.hash
    state.steps[event.step] = Step(
        step=event.step,
        item=event.item,
        op=event.op,
        phase=_STEP[event.type],
        data=event.data,
        seq=event.seq,
        intent=intent,
        intended=intended,
        tries=tries,
        at=event.at,
    )


def _settle(state: State, event: Event) -> None:
    data, before, decision = event.data, state.items.get(event.item), state.decisions.get(event.item)
    changed = before is not None and before.evidence != str(data["evidence"])
    if changed and decision is not None and decision.kind is not DecisionKind.REFUSED:
        del state.decisions[event.item]  # it was about what was shown then
        state.words.lapse(event.item)
    state.items[event.item] = Settled(
        item=event.item,
        outcome=Outcome(str(data["outcome"])),
        summary=str(data["summary"]),
        mend=str(data["mend"]),
        evidence=str(data["evidence"]),
        gathered=data.get("gathered") is not False,
        seq=event.seq,
        at=event.at,
    )


def _decide(state: State, event: Event) -> None:
    decision = Decision.model_validate({"item": event.item, **event.data})
    state.decisions[event.item] = decision
    state.words.decide(event, decision)


def _revoke(state: State, event: Event) -> None:
    state.words.revoke(event.item, state.decisions.pop(event.item, None))


def _review(state: State, event: Event) -> None:
    state.words.review(event)


def _start(state: State, event: Event) -> None:
    state.started.add(event.item)


def _end_phase(state: State, event: Event) -> None:
    state.phases[event.item] = str(event.data["result"])


def _roll_back(state: State, event: Event) -> None:
    state.rolled_back = str(event.data["reason"])
    if event.data.get("database") or event.data.get("stop"):
        # What an earlier rollback did not need is asked for now, so that it is looked at anew.
        spared = [item.id for item in checklist().items("rollback") if item.id in state.items]
        for item in spared:
            if state.items[item].outcome is Outcome.NOT_NEEDED:
                del state.items[item]


def _return_traffic(state: State, event: Event) -> None:
    state.returned = str(event.data["reason"])


def _end(state: State, event: Event) -> None:
    state.status = Status(str(event.data["status"]))


def _seal(state: State, _event: Event) -> None:
    state.sealed = True


def _ignore(_state: State, _event: Event) -> None:
    """Events that are only to be read, not to be reckoned with."""


_TAKE: dict[Type, Callable[[State, Event], None]] = {
    Type.ITEM_SETTLED: _settle,
    Type.DECISION_MADE: _decide,
    Type.DECISION_REVOKED: _revoke,
    Type.DECISION_REVIEWED: _review,
    Type.PHASE_STARTED: _start,
    Type.PHASE_ENDED: _end_phase,
    Type.ROLLBACK_ASKED: _roll_back,
    Type.TRAFFIC_RETURNED: _return_traffic,
    Type.RUN_ENDED: _end,
    Type.RUN_SEALED: _seal,
}


def fold(events: Iterable[Event]) -> State:
    """The state after all events."""
    state = State()
    for event in events:
        state.add(event)
    return state
