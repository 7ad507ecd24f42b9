"""How a phase does its work: headless in the cell, stepped through on threads, so that no cell holds the kernel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from deploykit import execution, progress
from deploykit.checklist import Item
from deploykit.checks.watch import Watched, watch
from deploykit.context import Context, StopAskedError
from deploykit.errors import HeldError, NotPassedError, RolledBackError
from deploykit.execution.checks import Looking, left_out
from deploykit.model import Answer, Evidence, Outcome, Result
from deploykit.notebook import live, show
from deploykit.rollback import traffic_back
from deploykit.run import Run

AGAIN = "run it again when it ended"


class Work:
    """What is under way in one notebook, and where it is shown.

    Args:
        run: The run.
        mode: Headless, replayed, or stepped through by a person.
        forward: Whether it ends when traffic goes back meanwhile; a rollback does not.
    """

    def __init__(self, run: Run, mode: live.Mode, *, forward: bool) -> None:
        self.run, self.mode, self.forward = run, mode, forward
        self._looking = Looking(run, self._context, run.settings.rules.check_within)
        self._displays: dict[str, live.Display] = {}
        self._worker: live.Worker | None = None
        self._stop = threading.Event()

    @property
    def error(self) -> BaseException | None:
        """What ended the newest action or watch, if something did."""
        return self._worker.error if self._worker else None

    def known(self, item: str) -> bool:
        """Whether this item is, or was, looked at here."""
        return self._looking.known(item)

    def require_free(self) -> None:
        """Nothing is looked at while an action or the watch is under way.

        Raises:
            NotPassedError: One is.
        """
        if self._busy:
            name = self._worker.name if self._worker else ""
            raise NotPassedError(f"{name} is still under way", where="this cell", mend=AGAIN)

    def require_idle(self) -> None:
        """Nothing at all is under way; headless, it is waited for.

        Raises:
            NotPassedError: Something is.
        """
        self.require_free()
        if self.mode == "step" and self._looking.busy():
            raise NotPassedError("checks are still under way", where="this cell", mend=AGAIN)

    def display(self, item: Item) -> live.Display:
        """A display of the item in the cell that runs now."""
        self._displays[item.id] = live.Display(item.id, item.title)
        return self._displays[item.id]

    def show(self, item: Item) -> None:
        """Show an item as the journal has it."""
        result = self.run.result(item.id) or Result(
            item=item.id, outcome=Outcome.NOT_REACHED, summary="the run ended before it"
        )
        shown = show.item(item.title, result, self.run.state().decisions.get(item.id))
        self._displays[item.id].put(shown, result.evidence.figures)
        for scrap in show.scraps(result):
            live.publish(scrap)

    def begin(self, items: Iterable[Item]) -> None:
        """Begin to look at several items; their cells show what was found."""
        self._looking.begin(items)

    def look_at(self, item: Item) -> None:
        """Look at an item, unless that is under way, and show it when it is settled."""
        if not self._looking.busy(item.id) and (self.mode == "step" or not self.known(item.id)):
            self._looking.begin([item])
        self._displays[item.id].working("looking")
        if self.mode == "step":
            self._looking.then(item.id, lambda error: self._told(item, error))
            return
        self._looking.wait(item.id)
        self.show(item)

    def act(self, item: Item) -> None:
        """Go through an action.

        Raises:
            DeploykitError: Headless, and on the way forward: it did not pass, or may not be begun.
        """
        self._displays[item.id].working("begins")
        work = lambda: execution.run_action(self.run, self._context(item), item)  # noqa: E731 - said once
        self._do(item.id, work, lambda error: self._told(item, error))

    def watch(self, items: list[Item], title: str) -> None:
        """Watch production, and settle the items that this proves.

        Raises:
            RolledBackError, HeldError: Headless: traffic went back.
        """
        display = live.Display("watch", title)
        display.working("begins")

        def told(error: BaseException | None) -> None:
            if error is not None:
                display.put(show.failed("watch", error))

        self._do("watch", lambda: self._watch(items, display, title), told)

    def show_watched(self, item: Item) -> None:
        """An item that the watch proves: as recorded, or filled in when the watch ends.

        Raises:
            NotPassedError: Nobody watches, and nobody did.
        """
        if self._busy:
            self._displays[item.id].working("being watched")
        elif item.id in self.run.state().items:
            self.show(item)
        else:
            raise NotPassedError(f"{item.id} is proved by the watch", where="this cell", mend="run the watch's cell")

    @property
    def _busy(self) -> bool:
        return self._worker is not None and self._worker.busy

    def _told(self, item: Item, error: BaseException | None) -> None:
        """Show how work on an item ended."""
        if item.id in self.run.state().items:
            self.show(item)
        elif error is not None:
            self._displays[item.id].put(show.failed(item.id, error))

    def _do(self, name: str, work: Callable[[], Any], told: Callable[[BaseException | None], None]) -> None:
        """Headless: do it here. Stepped through: on a thread, and the cell returns at once."""
        if self.mode == "step":
            self._worker = live.Worker(name, work, told)
            self._worker.start()
            return
        try:
            work()
        except NotPassedError as error:
            told(error)
            if self.forward:
                raise
            return  # a way back does what it can; the gate says what is left
        except BaseException as error:
            told(error)
            raise
        told(None)

    def _watch(self, items: list[Item], display: live.Display, title: str) -> None:
        if self.run.plan.rehearsal:
            self._leave_out(items, display, title)
            return
        began = time.monotonic()
        try:
            watched = watch(self._context(display))
        except StopAskedError as stopped:
            kind = RolledBackError if self.run.state().rolled_back else HeldError
            raise kind(str(stopped), where="watch", mend=f"`deploykit status {self.run.id}` says why") from stopped
        results = [left_out(self.run, item) or item.load()(None, watched) for item in items]
        self._roll_back_if_told(watched)
        for item, result in zip(items, results, strict=True):
            self.run.settle(result)
            if item.id in self._displays:
                self.show(item)
        display.put(show.working("watch", title, f"watched for {time.monotonic() - began:.0f} s"))
        if self.run.state().rolled_back:
            raise RolledBackError(self.run.state().rolled_back, where="watch", mend="90_rollback goes on from here")

    def _leave_out(self, items: list[Item], display: live.Display, title: str) -> None:
        """A rehearsal brings no candidate to production, so there is nothing to watch, and nothing to send back."""
        for item in items:
            result = left_out(self.run, item)
            if result is None:
                raise NotPassedError(f"{item.id} does not say which action it hangs on", where="checklist.toml")
            self.run.settle(result)
            if item.id in self._displays:
                self.show(item)
        display.put(show.working("watch", title, "a rehearsal has nothing to watch"))

    def _roll_back_if_told(self, watched: Watched) -> None:
        verdict = watched.verdict
        if verdict is not None and verdict.answer is Answer.ROLL_BACK:
            traffic_back(self.run, verdict.reason)

    def _context(self, shown_by: Item | live.Display) -> Context:
        def told(line: str, evidence: Evidence) -> None:
            progress.say(self.run, line)
            display = shown_by if isinstance(shown_by, live.Display) else self._displays.get(shown_by.id)
            if display is not None:
                display.working(line, evidence)

        return execution.make_context(self.run, told, self._pause)

    def _pause(self, seconds: float) -> None:
        """Wait; but a rollback elsewhere, or traffic that went back, ends forward work at once."""
        deadline = time.monotonic() + seconds
        while True:
            self.run.beat()
            state = self.run.state()
            if self.forward and (state.rolled_back or state.returned):
                raise StopAskedError(f"traffic went back to live meanwhile: {state.rolled_back or state.returned}")
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._stop.wait(min(left, 0.5))
