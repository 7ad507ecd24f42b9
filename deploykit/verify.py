"""Whether an archived run is what was sealed: from a copied folder alone, without store, settings or network."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from deploykit import redact
from deploykit.archive import HEAD, SEAL, SUMS, files
from deploykit.errors import BrokenRecordError, DeploykitError
from deploykit.journal import chain, witness
from deploykit.journal.events import Event, Head, Type
from deploykit.journal.state import State
from deploykit.model import DecisionKind, Plan, Record, sha256
from deploykit.run import read_plan
from deploykit.settings import PersonSettings
from deploykit.signoff import kept, rules, ssh
from deploykit.signoff.statement import LOCK, PLAN

#: What may come after the seal in a journal that went on.
_AFTER_SEAL = {Type.WITNESS_GIVEN, Type.NOTE_WRITTEN, Type.LOCK_RELEASED}
#: Phases whose actions do not change production, or bring it back.
_UNAPPROVED = ("prepare.", "rollback.")
_LINE = re.compile(r"([0-9a-f]{64})  ([^\\\r\n]+)")


class Verification(Record):
    """What was found.

    Attributes:
        sealed: Whether there is a seal at all.
        wrong: What does not hold, one line each, first found first.
        warnings: What holds, and is worth knowing.
    """

    run: str
    sealed: bool
    wrong: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything holds, the seal included."""
        return not self.wrong

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong, then the warnings."""
        return self.wrong + self.warnings


@dataclass
class _Folder:
    """An archive under examination.

    Attributes:
        signers: The file of principals and keys that signatures are held against.
        events: The journal, as far as its chain holds.
        witnesses: Files, repositories or words of those outside who know the journal.
        seal_holds: Whether the seal's signature was proved.
    """

    path: Path
    signers: Path
    witnesses: tuple[str, ...] = ()
    plan: Plan | None = None
    events: tuple[Event, ...] = ()
    wrong: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seal_holds: bool = False

    def read(self, name: str) -> bytes:
        """A plain file of the archive."""
        path = self.path / name
        if path.is_symlink() or not path.is_file():
            raise BrokenRecordError("is missing", where=name)
        return path.read_bytes()

    def known_plan(self) -> Plan:
        """The plan, once it was read."""
        if self.plan is None:
            raise BrokenRecordError("cannot be held against a plan, because there is none", where="journal.jsonl")
        return self.plan

    def end(self) -> Event:
        """The journal's newest event."""
        if not self.events:
            raise BrokenRecordError("there is no journal to hold it against", where="journal.jsonl")
        return self.events[-1]

    def attempt(self, what: str, check: Callable[[], None]) -> None:
        """One check; a record that cannot even be read is a finding like any other."""
        try:
            check()
        except DeploykitError as error:
            self.wrong.append(
                _one_line(f"{what}: {error.where}: {error.what}" if error.where else f"{what}: {error.what}")
            )
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            self.wrong.append(_one_line(f"{what}: cannot be read: {error}"))

    def of_type(self, kind: Type) -> Iterator[Event]:
        """The events of one type."""
        return (event for event in self.events if event.type is kind)


def verify(folder: Path, allowed_signers: Path | None = None, witnesses: tuple[str, ...] = ()) -> Verification:
    """Check everything that an archived run says of itself, and what those outside say of it.

    Args:
        folder: The run's folder, or a copy of it.
        allowed_signers: The team's own file. Without it the archive's copy is used, and a warning says so.
        witnesses: Files, git repositories, or the words themselves (`deploykit RUN event N sha256 ...`).
    """
    own = folder / "allowed_signers"
    archive = _Folder(folder, allowed_signers or own, witnesses)
    if allowed_signers is None:
        archive.warnings.append("signatures were held against the archive's own allowed_signers: give the team's file")
    sealed = (folder / SEAL).is_file()
    if sealed:
        archive.attempt("files", lambda: _files(archive))
    else:
        archive.wrong.append("seal: the run is not sealed")
    for what, check in _CHECKS:
        if sealed or what not in {"seal", "head"}:
            archive.attempt(what, lambda check=check: check(archive))  # type: ignore[misc] # mypy cannot infer a lambda's default
    run = archive.plan.run if archive.plan else ""
    return Verification(
        run=run, sealed=sealed, wrong=tuple(dict.fromkeys(archive.wrong)), warnings=tuple(archive.warnings)
    )


def _files(archive: _Folder) -> None:
    """The list of files is the sealed one, and each is what it was."""
    listed = _sums(archive.read(SUMS))
    there = {name.as_posix() for name in files(archive.path)}
    for name in sorted(set(listed) - there):
        archive.wrong.append(_one_line(f"files: {name}: was sealed and is missing"))
    for name in sorted(there - set(listed)):
        if name.startswith("addenda/"):
            archive.warnings.append(_one_line(f"{name}: was added after the seal"))
        else:
            archive.wrong.append(_one_line(f"files: {name}: is not in the seal"))
    for name in sorted(there & set(listed)):
        if sha256((archive.path / name).read_bytes()) != listed[name]:
            archive.wrong.append(_one_line(f"files: {name}: was changed since the seal"))


def _sums(data: bytes) -> dict[str, str]:
    listed: dict[str, str] = {}
    for line in data.decode().removesuffix("\n").split("\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            raise BrokenRecordError("a line that is not a hash and a name", where=SUMS)
        listed[match[2]] = match[1]
    again = "".join(f"{listed[name]}  {name}\n" for name in sorted(listed, key=str.encode))
    if again.encode() != data:
        raise BrokenRecordError("not sorted, or with a file named twice", where=SUMS)
    return listed


def _plan(archive: _Folder) -> None:
    archive.plan = read_plan(archive.path)
    if archive.read("plan.json") != kept.plan_bytes(archive.plan):
        raise BrokenRecordError("not in canonical form", where="plan.json")


def _journal(archive: _Folder) -> None:
    data = archive.read("journal.jsonl")
    lines = data.split(b"\n")
    followed = []
    try:
        for event in chain.follow(lines[:-1], run=archive.known_plan().run):
            followed.append(event)  # noqa: PERF402 - what held before a break is still looked at
    finally:
        archive.events = tuple(followed)
    if lines[-1]:
        raise BrokenRecordError("the last line has no end", where="journal.jsonl")


def _opening(archive: _Folder) -> None:
    """The run was opened with this plan, which its operator signed, and with these settings."""
    archive.end()
    plan, first = archive.known_plan(), archive.events[0]
    if first.type is not Type.RUN_OPENED or first.data.get("plan") != plan.hash:
        raise BrokenRecordError("is not the plan that the run was opened with", where="plan.json")
    if sha256(archive.read("settings.toml")) != plan.settings:
        archive.warnings.append("settings.toml: not the bytes that the plan names; changed since, or a secret masked")
    if not (archive.path / kept.PLAN_SIGNATURE).is_file():
        archive.warnings.append("plan.json: not signed by its operator")
        return
    signature = archive.read(kept.PLAN_SIGNATURE)
    at = datetime.fromisoformat(first.at)
    ssh.verify(archive.read("plan.json"), signature, plan.operator, ssh.Namespace.PLAN, archive.signers, at)


def _head(archive: _Folder) -> None:
    """HEAD names the journal's end, and the end is the seal."""
    last = archive.end()
    if archive.read(HEAD) != f"{last.seq} {last.hash}\n".encode():
        raise BrokenRecordError("is not the end of the journal", where=HEAD)
    _sealed(archive)


def _sealed(archive: _Folder) -> Event:
    seals = list(archive.of_type(Type.RUN_SEALED))
    if len(seals) != 1:
        raise BrokenRecordError(f"has {len(seals)} events that seal the run", where="journal.jsonl")
    for event in archive.events[seals[0].seq :]:
        if event.type not in _AFTER_SEAL:
            raise BrokenRecordError(f"{event.type} after the seal", where=f"journal.jsonl, line {event.seq}")
    return seals[0]


def _seal(archive: _Folder) -> None:
    """The list of files was signed by the operator, or by somebody of the team."""
    signature, at = archive.read(SEAL), datetime.fromisoformat(_sealed(archive).at)
    signer = ssh.principal_of(signature, archive.signers, at)
    ssh.verify(archive.read(SUMS), signature, signer, ssh.Namespace.SEAL, archive.signers, at)
    plan = archive.known_plan()
    if signer != plan.operator:
        rules.require_person(signer, plan, _people(archive))
    archive.seal_holds = True


def _evidence(archive: _Folder) -> None:
    """What the journal rests on is there, and is what its name says."""
    named = {digest for event in archive.events if isinstance(digest := event.data.get("evidence"), str)}
    there = {path.name for path in (archive.path / "evidence").glob("*")}
    for digest in sorted(named - there):
        archive.wrong.append(_one_line(f"evidence: {digest}: is missing"))
    for digest in sorted(there):
        if sha256(archive.read(f"evidence/{digest}")) != digest:
            archive.wrong.append(_one_line(f"evidence: {digest}: is not what its name says"))


def _decisions(archive: _Folder) -> None:
    """Each decision, held against the same rules as when it was made, and the journal as it was then."""
    state = State()
    for event in archive.events:
        what = f"decision on {event.step or event.item or LOCK}"
        archive.attempt(what, lambda event=event: _decision(archive, event, state))  # type: ignore[misc] # likewise
        state.add(event)


def _decision(archive: _Folder, event: Event, before: State) -> None:
    decision = rules.decision(event)
    if decision is None:
        if event.type is Type.DECISION_REVOKED:
            raise BrokenRecordError("nobody signed that it is revoked", where=f"line {event.seq}")
        return
    at, plan = datetime.fromisoformat(event.at), archive.known_plan()
    statement = kept.proved(archive.path, decision, archive.signers, at)
    rules.check(statement, plan, _people(archive), at)
    rules.check_history(statement, plan, before, archive.events, at)


def _approval(archive: _Folder) -> None:
    """Whether production was only touched under an approved plan; sending traffic back never asks for one."""
    approved = False
    for event in archive.events:
        if event.item == PLAN and event.type in {Type.DECISION_MADE, Type.DECISION_REVOKED}:
            approved = event.data.get("kind") == DecisionKind.SIGNED.value
        elif event.type is Type.STEP_INTENDED and not approved and not event.item.startswith(_UNAPPROVED):
            archive.warnings.append(_one_line(f"{event.step}: began at event {event.seq} without an approved plan"))


def _people(archive: _Folder) -> dict[str, PersonSettings]:
    people = tomllib.loads(archive.read("settings.toml").decode()).get("people", {})
    return {name: PersonSettings.model_validate(person) for name, person in people.items()}


def _notebooks(archive: _Folder) -> None:
    """Each archived notebook is the one that the journal names."""
    named = {Path(str(e.data["name"])).name: e.data["sha256"] for e in archive.of_type(Type.NOTEBOOK_ARCHIVED)}
    there = {path.name: sha256(path.read_bytes()) for path in (archive.path / "notebooks").glob("*.ipynb")}
    for name in sorted(named.keys() | there.keys()):
        if name not in named:
            archive.wrong.append(_one_line(f"notebooks/{name}: the journal does not name it"))
        elif name not in there:
            archive.wrong.append(_one_line(f"notebooks/{name}: is missing"))
        elif named[name] != there[name]:
            archive.wrong.append(_one_line(f"notebooks/{name}: is not the one that the journal names"))


def _witnesses(archive: _Folder) -> None:
    """How much of the journal somebody outside has seen: by its own account, and by theirs."""
    seen, count = 0, len(archive.events)
    for event in archive.of_type(Type.WITNESS_GIVEN):
        told = Head.model_validate({name: event.data.get(name) for name in Head.model_fields})
        if told.seq >= event.seq:
            raise BrokenRecordError("a witness saw another journal", where=f"journal.jsonl, line {event.seq}")
        seen = max(seen, _same(archive, told))
    for source in archive.witnesses:
        for told in witness.read(source, archive.known_plan().run):
            seen = max(seen, _same(archive, told))
    if seen < count:
        unseen = f"events {seen + 1} to {count}"
        said = f"no witness but the seal has seen {unseen}" if archive.seal_holds else f"no witness has seen {unseen}"
        archive.warnings.append(f"journal.jsonl: {said}")


def _same(archive: _Folder, told: Head) -> int:
    """The event that a witness saw is the one that stands there."""
    if told.seq > len(archive.events):
        archive.wrong.append(
            f"witnesses: the journal ends at event {len(archive.events)}, and a witness saw event {told.seq}"
        )
        return 0
    if archive.events[told.seq - 1].hash != told.hash:
        raise BrokenRecordError("a witness saw another journal", where=f"journal.jsonl, line {told.seq}")
    return told.seq


_CHECKS: tuple[tuple[str, Callable[[_Folder], None]], ...] = (
    ("plan", _plan),
    ("journal", _journal),
    ("seal", _seal),
    ("head", _head),
    ("plan", _opening),
    ("evidence", _evidence),
    ("decisions", _decisions),
    ("approval", _approval),
    ("notebooks", _notebooks),
    ("witnesses", _witnesses),
)


def _one_line(text: str) -> str:
    return " ".join(redact.visible(text).split())
