"""Looks at what the checklist names, several at once, and records what was found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from deploykit.checklist import Item, checklist
from deploykit.context import Context
from deploykit.errors import DeploykitError
from deploykit.journal.events import Type
from deploykit.model import Evidence, Json, Kind, Outcome, Result
from deploykit.run import Run
from deploykit.signoff import gate


def run_check(run: Run, context: Context, item: Item, *, within: float | None = None) -> Result:
    """Look at one item and record its result; whatever goes wrong in looking is an *error*, never a pass.

    An item that opens its gate is not looked at again, but a rule is, for it speaks of the moment. What a person signs
    over, and a rule, is recorded anew only where it changed: a signature holds as long as what was shown does.

    Args:
        run: The run.
        context: Of the run.
        item: What to look at.
        within: Seconds after which it is an *error*; what is found later is dropped.
    """
    recorded = run.result(item.id)
    if recorded is not None and item.kind is not Kind.POLICY and gate.opens(run, item.id):
        return recorded
    result = left_out(run, item) or (look_at(context, item) if within is None else _in_time(context, item, within))
    if result != recorded or item.kind not in {Kind.SIGN_OFF, Kind.POLICY}:
        run.settle(result)
    return result


def _in_time(context: Context, item: Item, within: float) -> Result:
    """Look on a thread of its own, which is left behind when it takes too long."""
    looked: Future[Result] = Future()

    def look() -> None:
        try:
            looked.set_result(look_at(context, item))
        except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
            looked.set_exception(error)

    threading.Thread(target=look, name=f"check {item.id}", daemon=True).start()
    try:
        return looked.result(within)
    except TimeoutError:
        if looked.done():
            raise
        return could_not_look(
            item.id,
            DeploykitError(
                f"it did not end within {within:g} s", where=item.id, mend="look again, or set [rules] check_within"
            ),
        )


def look_at(context: Context, item: Item) -> Result:
    """What an item's function finds; nothing is recorded."""
    try:
        found: Result = item.load()(context)
    except DeploykitError as error:
        return could_not_look(item.id, error)
    return found


def could_not_look(item: str, error: DeploykitError) -> Result:
    """The result of a check that could not be made."""
    facts: Json = {"where": error.where, "what": error.what}
    return Result(item=item, outcome=Outcome.ERROR, summary=error.what, evidence=Evidence(facts=facts), mend=error.mend)


def left_out(run: Run, item: Item) -> Result | None:
    """The result of an item that the settings or a rehearsal leave out; None where it is to be done."""
    why = run.settings.left_out.get(item.id, "")
    if why:
        why = f"left out by the settings: {why}"
    elif run.plan.rehearsal:
        why = _not_rehearsed(run, item)
    return Result(item=item.id, outcome=Outcome.LEFT_OUT, summary=why) if why else None


def _not_rehearsed(run: Run, item: Item) -> str:
    if item.kind is Kind.ACTION:
        return f"a rehearsal changes nothing: {item.touches}"
    if item.after:
        return f"it hangs on {item.after}, which a rehearsal leaves out"
    if item.touches and item.id not in run.settings.rules.rehearse:
        return f"a rehearsal does not touch {item.touches}, unless [rules] rehearse allows it"
    if item.kind is Kind.SIGN_OFF:
        return "a rehearsal asks nobody to sign"
    return ""


def leave_out(run: Run, phase: str) -> bool:
    """Settle a phase that the settings leave out as a whole, so that nobody has to open its notebook.

    Returns:
        Whether they do.
    """
    items = checklist().items(phase)
    if not all(item.id in run.settings.left_out for item in items):
        return False
    for item in items:
        found = left_out(run, item)
        if found is not None and run.result(item.id) != found:
            run.settle(found)
    if run.state().phases.get(phase) != "passed":
        run.append(Type.PHASE_ENDED, item=phase, data={"result": "passed", "why": "every item is left out"})
    return True


class Looking:
    """Checks under way, each on a thread and with connections of its own, so that none is late for another.

    Args:
        run: The run.
        context: Makes the context of one item's check.
        within: Seconds after which a check is an *error*.
    """

    def __init__(self, run: Run, context: Callable[[Item], Context], within: float) -> None:
        self._run, self._context, self._within = run, context, within
        self._found: dict[str, Future[Result]] = {}

    def begin(self, items: Iterable[Item]) -> None:
        """Begin to look at those items that are not being looked at."""
        for item in items:
            if not self.busy(item.id):
                future: Future[Result] = Future()
                self._found[item.id] = future
                threading.Thread(target=self._go, args=(item, future), name=f"look {item.id}", daemon=True).start()

    def known(self, item: str) -> bool:
        """Whether it was begun here."""
        return item in self._found

    def busy(self, item: str = "") -> bool:
        """Whether this item, or any, is still being looked at."""
        return any(not future.done() for name, future in self._found.items() if item in {"", name})

    def wait(self, item: str) -> Result:
        """The result of an item that was begun, when it is there.

        Raises:
            StoreError: It could not be recorded.
        """
        return self._found[item].result()

    def then(self, item: str, told: Callable[[BaseException | None], None]) -> None:
        """Have this called, from whichever thread, when an item's result is recorded, or with why it is not."""
        self._found[item].add_done_callback(lambda future: told(future.exception()))

    def _go(self, item: Item, future: Future[Result]) -> None:
        try:
            result = run_check(self._run, self._context(item), item, within=self._within)
        except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
            future.set_exception(error)
        else:
            future.set_result(result)
