"""What a person signs: an in-toto Statement v1 about a plan, and about the evidence that they were shown."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field, ValidationError

from deploykit.errors import BrokenRecordError
from deploykit.journal.events import Head
from deploykit.model import Decision, DecisionKind, Plan, Record, Sha256, canonical, now, sha256
from deploykit.signoff.ssh import Namespace

#: The plan itself, and the lock on its environment, as items that are decided on.
PLAN, LOCK = "plan", "lock"
#: What a subject of a statement is called that is neither the plan nor the release.
EVIDENCE = "evidence"
#: What is approved before, by someone else; every other item is attested after.
APPROVED = frozenset({PLAN, "database.migrations-reviewed"})


class Digest(Record):
    """A digest as in-toto writes it: of bytes, or of a commit."""

    sha256: Sha256 | None = None
    git_commit: str | None = Field(alias="gitCommit", default=None)

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)


class Subject(Record):
    """What is decided on."""

    name: str
    digest: Digest


class Predicate(Record):
    """What was decided.

    Attributes:
        signer: The principal who says they sign; the signature proves it.
        evidence: The hashes of what was shown; of a step whose end nobody saw, the hash of its intent's event; of an
            earlier decision, the hash of its statement.
        sign_by: When it has to be signed and brought in. None in statements of older versions.
        until: When it can no longer be used.
        nonce: Makes each statement usable once.
    """

    run: str
    service: str
    environment: str
    item: str
    decision: DecisionKind
    comment: str
    signer: str
    evidence: tuple[Sha256, ...]
    head: Head
    made_at: AwareDatetime
    sign_by: AwareDatetime | None = None
    until: AwareDatetime
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")


class Statement(Record):
    """An in-toto statement that carries a decision."""

    model_config = ConfigDict(serialize_by_alias=True)

    kind: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type", default="https://in-toto.io/Statement/v1")
    subject: tuple[Subject, ...]
    predicate_type: Literal["https://deploykit.dev/decision/v1"] = Field(
        alias="predicateType", default="https://deploykit.dev/decision/v1"
    )
    predicate: Predicate

    @property
    def data(self) -> bytes:
        """The exact bytes that are signed."""
        return canonical(self.model_dump(mode="json", exclude_none=True))

    @property
    def plan(self) -> str:
        """The hash of the plan that it is about."""
        return next(iter(self._digests(PLAN)), "")

    @property
    def shown(self) -> tuple[str, ...]:
        """The hashes of the evidence that it is about."""
        return self._digests(EVIDENCE)

    def _digests(self, name: str) -> tuple[str, ...]:
        return tuple(subject.digest.sha256 or "" for subject in self.subject if subject.name == name)

    @property
    def namespace(self) -> Namespace:
        """What it has to be signed for."""
        return namespace(self.predicate.item, self.predicate.decision)

    @property
    def decision(self) -> Decision:
        """The decision, as the journal records it."""
        said = self.predicate
        return Decision(
            item=said.item,
            kind=said.decision,
            signer=said.signer,
            statement=sha256(self.data),
            comment=said.comment,
            at=said.made_at,
            until=said.until,
        )

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a statement back.

        Raises:
            BrokenRecordError: It is not one of ours, or not in canonical form (a key given twice, other spaces).
        """
        try:
            statement = cls.model_validate(json.loads(data))
        except ValidationError as error:
            raise BrokenRecordError(f"not a decision: {error.error_count()} faults", where="statement") from error
        except ValueError as error:
            raise BrokenRecordError("not JSON", where="statement") from error
        if statement.data != data:
            raise BrokenRecordError("not in canonical form", where="statement")
        return statement


def namespace(item: str, kind: DecisionKind) -> Namespace:
    """Approvals come before and from someone else; attestations come after; the others are for one thing each."""
    approves = item in APPROVED or kind is DecisionKind.OVERRIDDEN
    return _FOR.get(kind, Namespace.APPROVAL if approves else Namespace.ATTESTATION)


_FOR = {
    DecisionKind.HAPPENED: Namespace.RESOLUTION,
    DecisionKind.DID_NOT: Namespace.RESOLUTION,
    DecisionKind.BROKEN: Namespace.LOCK,
    DecisionKind.REVOKED: Namespace.REVOCATION,
    DecisionKind.REVIEWED: Namespace.REVIEW,
}


class Choice(Record):
    """What a person is about to sign."""

    item: str
    kind: DecisionKind
    signer: str
    comment: str = ""


def make(
    plan: Plan, head: Head, choice: Choice, evidence: tuple[str, ...], seconds: float, within: float | None = None
) -> Statement:
    """The statement of a choice, made now.

    Args:
        plan: The plan of the run.
        head: The journal's newest event.
        choice: What was decided, and by whom.
        evidence: The hashes of what the person was shown.
        seconds: How long it can be used.
        within: Seconds in which it has to be signed and brought in; None is as long as it can be used.
    """
    made_at = now()
    predicate = Predicate(
        run=plan.run,
        service=plan.service,
        environment=plan.environment,
        item=choice.item,
        decision=choice.kind,
        comment=choice.comment,
        signer=choice.signer,
        evidence=evidence,
        head=head,
        made_at=made_at,
        sign_by=made_at + timedelta(seconds=seconds if within is None else min(within, seconds)),
        until=made_at + timedelta(seconds=seconds),
        nonce=secrets.token_hex(16),
    )
    about = (
        Subject(name=PLAN, digest=Digest(sha256=plan.hash)),
        # No tag can pass for the plan or for evidence.
        Subject(name=f"release/{plan.release}", digest=Digest(git_commit=plan.commit)),
        *(Subject(name=EVIDENCE, digest=Digest(sha256=digest)) for digest in evidence),
    )
    return Statement(subject=about, predicate=predicate)
