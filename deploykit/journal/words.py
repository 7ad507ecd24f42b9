"""What people decided in a run, as its events tell it. Whether a signature holds is for `signoff.proof` to say."""

from __future__ import annotations

from dataclasses import dataclass, field

from deploykit.checklist import checklist
from deploykit.journal.events import Event, Type
from deploykit.model import Decision, DecisionKind

#: How an event says that a signed word of a person, and not a probe or the runner, is behind it.
BY_PERSON = "person"


@dataclass
class Words:
    """The decisions of a run.

    Attributes:
        made: The event behind each decision in force, by item.
        refused: The first refusal of an item, which nothing takes back.
        first: Every statement that was ever recorded, with the number of the event that brought it.
        overridden: What broke the glass, by statement.
        reviewed: The event that says that somebody else looked at it since, by the override's statement.
        acted: The newest event that rests on decisions: by phase, an intent in it or its end.
    """

    made: dict[str, Event] = field(default_factory=dict)
    refused: dict[str, Decision] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    overridden: dict[str, Decision] = field(default_factory=dict)
    reviewed: dict[str, Event] = field(default_factory=dict)
    acted: dict[str, Event] = field(default_factory=dict)

    def decide(self, event: Event, decision: Decision) -> None:
        """A decision on an item."""
        self.made[decision.item] = event
        if decision.kind is DecisionKind.REFUSED:
            self.refused.setdefault(decision.item, decision)
        elif decision.kind is DecisionKind.OVERRIDDEN and decision.statement not in self.first:
            self.overridden[decision.statement] = decision
        self.first.setdefault(decision.statement, event.seq)

    def lapse(self, item: str) -> None:
        """The decision on an item is no longer in force."""
        self.made.pop(item, None)

    def revoke(self, item: str, decision: Decision | None) -> None:
        """It was taken back before it was used: then there is nothing to review."""
        self.lapse(item)
        if decision is not None:
            self.overridden.pop(decision.statement, None)

    def review(self, event: Event) -> None:
        """Somebody else looked at what was overridden of an item until now."""
        self.reviewed |= {key: event for key, decision in self.overridden.items() if decision.item == event.item}

    @property
    def to_review(self) -> tuple[Decision, ...]:
        """Overrides that nobody else has looked at since."""
        return tuple(decision for key, decision in self.overridden.items() if key not in self.reviewed)

    def hear(self, event: Event) -> None:
        """Note which statement is behind an event, and what rests on decisions made before."""
        said = event.data.get("decision")
        if event.data.get("by") == BY_PERSON and isinstance(said, dict):
            self.first.setdefault(str(said.get("statement")), event.seq)
        if event.type in {Type.STEP_INTENDED, Type.PHASE_ENDED}:
            self.acted[_phase(event.item)] = event

    def used(self, item: str) -> Event | None:
        """What was done on the strength of the decision on an item; the plan and a rule are behind everything."""
        made, phase = self.made.get(item), _phase(item)
        if made is None:
            return None
        behind_all = phase in {"plan", "head"}
        resting = [e for name, e in self.acted.items() if (behind_all or name == phase) and e.seq > made.seq]
        return max(resting, key=lambda event: event.seq, default=None)


def _phase(item: str) -> str:
    """The phase of an item, or of a step of one; a phase, and the plan, are their own."""
    name = item.partition("/")[0]
    return next((known.phase for known in checklist().item if known.id == name), name)
