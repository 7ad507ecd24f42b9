"""Questions and what becomes of their answers: all systems side by side, the questions to one in their order."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from deploykit.errors import DeploykitError, Unreachable
from deploykit.model import Evidence, Outcome, Result
from deploykit.providers import Connections

#: Looks at one system or place, one result after the other.
Look = Callable[[], Iterable[Result]]
_UNTRUSTED = re.compile(r"certificate.?verify.?failed|CERTIFICATE_|certificate verif|SSL:|TLS", re.IGNORECASE)


class Question(NamedTuple):
    """One thing to ask.

    Attributes:
        name: The finding's name: `github.access`.
        where: The settings that it is about.
        ask: Says in a few words what is there, or raises.
        right: What a credential lacks where the system refuses this question with 403.
        gate: Whether the questions after it would only fail for the same reason.
    """

    name: str
    where: str
    ask: Callable[[], str]
    right: str = ""
    gate: bool = False


def answers(questions: Iterable[Question]) -> Iterator[Result]:
    """Ask one system, up to a gate that does not open."""
    for question in questions:
        result = _answer(question)
        yield result
        if question.gate and result.outcome is not Outcome.PASS:
            return


Asks = Callable[[Connections, str], Iterator[Question]]


def asked(ask: Asks, ports: Connections, name: str = "") -> Look:
    """The look at one system; where it stands in an environment, each result bears the environment's name."""
    end = f"/{name}" if name else ""
    return lambda: answers(q._replace(name=q.name + end) for q in ask(ports, name))


def own(ports: Connections, port: str, name: str) -> Callable[[], str]:
    """A question of the adapter's own; connected when it is asked, so that a missing secret is its answer."""

    def ask() -> str:
        return ports.questions(port)[name]()

    return ask


def well(name: str, what: str, *, where: str = "") -> Result:
    """Nothing is wrong here."""
    return Result(item=name, outcome=Outcome.PASS, summary=what, evidence=Evidence(facts={"where": where}))


def wrong(name: str, what: str, mend: str, *, where: str = "", outcome: Outcome = Outcome.FAIL) -> Result:
    """Something is wrong, and this mends it."""
    evidence = Evidence(facts={"where": where})
    return Result(item=name, outcome=outcome, summary=what, evidence=evidence, mend=mend)


def fault(name: str, error: DeploykitError, *, where: str = "", mend: str = "") -> Result:
    """What an error says: whoever does not answer could not be looked at, and who says no is a fault."""
    outcome = Outcome.ERROR if isinstance(error, Unreachable) else Outcome.FAIL
    place = " · ".join(dict.fromkeys(part for part in (where, error.where) if part))
    return wrong(name, error.what, mend or error.mend, where=place, outcome=outcome)


def _answer(question: Question) -> Result:
    try:
        said = question.ask()
    except DeploykitError as error:
        return fault(question.name, error, where=question.where, mend=_mend(question, error))
    except Exception as error:  # noqa: BLE001 - a doctor that falls over helps nobody; it is shown as what it is
        mend = "this is a fault of deploykit: please report it with this line"
        return wrong(
            question.name, f"{type(error).__name__}: {error}", mend, where=question.where, outcome=Outcome.ERROR
        )
    return well(question.name, said, where=question.where)


def _mend(question: Question, error: DeploykitError) -> str:
    """What helps, where the question knows better than whoever asked."""
    if isinstance(error, Unreachable) and _UNTRUSTED.search(error.what):
        return (
            f"its certificate does not hold: look at {question.where}, and at the authorities that this machine trusts"
        )
    refused = question.right and " 403" in error.what
    return f"look at the secret of {question.where}: it may be wrong, or lack {question.right}" if refused else ""


def side_by_side(looks: Mapping[str, Look], within: float) -> list[Result]:
    """Everything at once, each look on a thread of its own that is left behind when it takes too long.

    Returns:
        All that was found in time; for a look that did not end, an *error* beside what it had found.
    """
    found: dict[str, list[Result]] = {name: [] for name in looks}
    threads = {name: threading.Thread(target=_go, args=(name, look, found[name]), daemon=True)
               for name, look in looks.items()}  # fmt: skip
    until = time.monotonic() + within
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(until - time.monotonic(), 0.0))
    late = [name for name, thread in threads.items() if thread.is_alive()]
    results = [result for listed in found.values() for result in tuple(listed)]
    mend = "look at its own page, then ask again"
    return results + [wrong(n, f"it did not end within {within:g} s", mend, outcome=Outcome.ERROR) for n in late]


def _go(name: str, look: Look, found: list[Result]) -> None:
    try:
        for result in look():
            found.append(result)  # noqa: PERF402 - each is kept at once, whatever comes after it
    except DeploykitError as error:
        found.append(fault(name, error))
    except Exception as error:  # noqa: BLE001 - shown; the other looks go on
        mend = "this is a fault of deploykit: please report it with this line"
        found.append(wrong(name, f"{type(error).__name__}: {error}", mend, outcome=Outcome.ERROR))
