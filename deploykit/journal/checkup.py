"""What is worth knowing of a store before one deploys from it; `doctor` shows it."""

from __future__ import annotations

from deploykit.journal import locks, spool
from deploykit.journal.locks import Place
from deploykit.journal.store import Store
from deploykit.model import Evidence, Json, Outcome, Result


def host(store: Store, place: Place) -> Result:
    """Whether this machine is the one that deploys to an environment."""
    held, here = store.lock(*place), locks.machine()
    name, facts = f"store.host/{place[1]}", _facts(here=here, bound=held.host if held else "")
    if held is None or not held.host:
        summary = f"nobody deployed to {place[1]} yet; the first machine that does is the only one from then on"
        return Result(item=name, outcome=Outcome.PASS, summary=summary, evidence=facts)
    if held.host == here:
        summary = f"{place[1]} is deployed to from this machine, and no other"
        return Result(item=name, outcome=Outcome.PASS, summary=summary, evidence=facts)
    return Result(
        item=name,
        outcome=Outcome.FAIL,
        summary=f"{place[1]} is deployed to from {held.host}, and this is {here}",
        evidence=facts,
        mend="deploy from there; if it is gone for good: `deploykit unlock RUN` with its last run, signed",
    )


def lock(store: Store, place: Place, expires: float) -> Result:
    """Whether somebody keeps an environment who has not been heard of for longer than `expires` seconds."""
    held, name = store.lock(*place), f"store.lock/{place[1]}"
    if held is None or not held.run:
        return Result(item=name, outcome=Outcome.PASS, summary=f"nobody holds {place[1]}")
    facts = _facts(run=held.run, owner=held.owner, since=held.since, age=round(held.age))
    if held.age < expires:
        return Result(item=name, outcome=Outcome.PASS, summary=f"{place[1]}: {held.holder}", evidence=facts)
    mend = f"`deploykit status {held.run}`; close it or roll it back, or if its people are gone `deploykit unlock`"
    summary = f"{place[1]}: {held.holder}"
    return Result(item=name, outcome=Outcome.FAIL, summary=summary, evidence=facts, mend=mend)


def spooled(store: Store) -> Result:
    """Whether something waits that a rollback could not write into the journal."""
    waiting = {row.run: len(spool.waiting(store.folder, row.run)) for row in store.runs()}
    found: Json = {run: count for run, count in waiting.items() if count}
    if not found:
        return Result(item="store.spool", outcome=Outcome.PASS, summary="the spool is empty")
    return Result(
        item="store.spool",
        outcome=Outcome.FAIL,
        summary=f"entries of {', '.join(found)} wait for the journal",
        evidence=Evidence(facts=found),
        mend="`deploykit rollback RUN` or `deploykit close RUN` merges them; look at free space and permissions first",
    )


def _facts(**facts: str | int) -> Evidence:
    return Evidence(facts=dict(facts))
