"""Whether an archived run is what was sealed: from a copied folder alone, without store, settings or network."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from deploykit.errors import BrokenRecordError
from deploykit.journal.events import Type
from deploykit.model import Record, sha256
from deploykit.run import read_plan
from deploykit.seal import SEAL
from deploykit.signoff import kept, ssh
from deploykit.verify.added import added, unreviewed
from deploykit.verify.decisions import approval, decisions
from deploykit.verify.folder import Folder
from deploykit.verify.listed import head, listed, seal
from deploykit.verify.witnessed import witnesses


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


def verify(folder: Path, allowed_signers: Path | None = None, witnesses: tuple[str, ...] = ()) -> Verification:
    """Check everything that an archived run says of itself, and what those outside say of it.

    Args:
        folder: The run's folder, or a copy of it.
        allowed_signers: The team's own file. Without it the archive's copy is used, and a warning says so.
        witnesses: Files, git repositories, or the words themselves (`deploykit RUN event N sha256 ...`).
    """
    archive = Folder(folder, allowed_signers or folder / "allowed_signers", witnesses)
    if allowed_signers is None:
        archive.warn("signatures were held against the archive's own allowed_signers: give the team's file")
    sealed = (folder / SEAL).is_file()
    if not sealed:
        archive.find("seal: the run is not sealed")
    for what, check in _CHECKS:
        if sealed or check not in _OF_SEALED:
            archive.attempt(what, lambda check=check: check(archive))  # type: ignore[misc] # mypy cannot infer a lambda's default
    run = archive.plan.run if archive.plan else ""
    return Verification(
        run=run, sealed=sealed, wrong=tuple(dict.fromkeys(archive.wrong)), warnings=tuple(archive.warnings)
    )


def undecided(folder: Path, allowed_signers: Path) -> tuple[str, ...]:
    """What does not hold of the decisions in a run's folder, sealed or not; the first thing first."""
    archive = Folder(folder, allowed_signers)
    for what, check in _DECIDED:
        archive.attempt(what, lambda check=check: check(archive))  # type: ignore[misc] # likewise
    return tuple(archive.wrong)


def _plan(archive: Folder) -> None:
    archive.plan = read_plan(archive.path)
    if archive.read("plan.json") != kept.plan_bytes(archive.plan):
        raise BrokenRecordError("not in canonical form", where="plan.json")


def _journal(archive: Folder) -> None:
    archive.read_journal()


def _opening(archive: Folder) -> None:
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


def _evidence(archive: Folder) -> None:
    """What the journal rests on is there, and is what its name says."""
    named = {digest for event in archive.events if isinstance(digest := event.data.get("evidence"), str)}
    there = {path.name for path in (archive.path / "evidence").glob("*")}
    for digest in sorted(named - there):
        archive.find(f"evidence: {digest}: is missing")
    for digest in sorted(there):
        if sha256(archive.read(f"evidence/{digest}")) != digest:
            archive.find(f"evidence: {digest}: is not what its name says")


def _notebooks(archive: Folder) -> None:
    """Each archived notebook is the one that the journal names."""
    named = {Path(str(e.data["name"])).name: e.data["sha256"] for e in archive.of_type(Type.NOTEBOOK_ARCHIVED)}
    there = {path.name: sha256(path.read_bytes()) for path in (archive.path / "notebooks").glob("*.ipynb")}
    for name in sorted(named.keys() | there.keys()):
        if name not in named:
            archive.find(f"notebooks/{name}: the journal does not name it")
        elif name not in there:
            archive.find(f"notebooks/{name}: is missing")
        elif named[name] != there[name]:
            archive.find(f"notebooks/{name}: is not the one that the journal names")


_DECIDED: tuple[tuple[str, Callable[[Folder], None]], ...] = (
    ("plan", _plan),
    ("journal", _journal),
    ("decisions", decisions),
)
_OF_SEALED = {listed, seal, head, added}
_CHECKS: tuple[tuple[str, Callable[[Folder], None]], ...] = (
    ("files", listed),
    ("plan", _plan),
    ("journal", _journal),
    ("seal", seal),
    ("head", head),
    ("plan", _opening),
    ("evidence", _evidence),
    ("decisions", decisions),
    ("addenda", added),
    ("review", unreviewed),
    ("approval", approval),
    ("notebooks", _notebooks),
    ("witnesses", witnesses),
)
