"""One phase of the runbook, as its notebook sees it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from deploykit import checklist, execution, progress, report
from deploykit import settings as settings_module
from deploykit.checks.watch import Watched, watch
from deploykit.context import Context, StopAskedError
from deploykit.errors import HeldError, NotPassedError, RolledBackError, UsageError
from deploykit.guard import GuardProcess
from deploykit.journal import spool
from deploykit.journal.events import Actor, Type
from deploykit.journal.state import State, Status
from deploykit.model import Answer, Evidence, Json, Kind, Outcome, Result
from deploykit.notebook import forms, live, show
from deploykit.providers import connect
from deploykit.rollback import traffic_back
from deploykit.run import Run, login
from deploykit.witnessing import witnessed

#: Names the run where no parameter does, for tools that execute notebooks without any.
RUN = "DEPLOYKIT_RUN"


class Phase:
    """A phase of one run. Made by `open`.

    Args:
        phase: Its row in the checklist.
        run: The run.
        mode: Headless, replayed, or stepped through by a person.
    """

    def __init__(self, phase: checklist.Phase, run: Run, mode: live.Mode) -> None:
        self.phase, self.run, self.mode = phase, run, mode
        self.items = checklist.checklist().items(phase.id)
        self._worker: live.Worker | None = None
        self._stop = threading.Event()

    @classmethod
    def open(cls, phase: str, run: str) -> Phase:
        """Open a phase of a run and show where it stands.

        Args:
            phase: The phase's id, such as `blue-green`.
            run: The run's id, its number, or the end of its id.

        Raises:
            UsageError: There is no such phase or run, or an earlier phase has to come first.
        """
        row = checklist.checklist().find_phase(phase)
        run = run or os.environ.get(RUN, "")
        if not run:
            raise UsageError(
                "no run is named", where=row.notebook, mend="set the parameter `run`; `deploykit plan` makes one"
            )
        mode = live.mode()
        actor = Actor(kind="person", id=login()) if mode == "step" else Actor(kind="kernel", id=f"pid-{os.getpid()}")
        opened = cls(row, Run.find(settings_module.load(), run, actor), mode)
        opened._begin()
        return opened

    def _begin(self) -> None:
        state = self.run.state()
        live.publish(show.head(self.run.plan, self.phase.title, tuple((i.id, i.title) for i in self.items), state))
        if state.sealed:
            self.mode = "replay"  # what is sealed is only shown
        if self.mode == "replay":
            return
        spool.merge(self.run.store, self.run.id, self.run.actor)
        self._require_turn(state)
        if self.mode == "step":
            forms.offer_rollback(self.run)
        if self.phase.id not in state.phases:
            self.run.append(Type.PHASE_STARTED, item=self.phase.id, data={"mode": self.mode})

    def _require_turn(self, state: State) -> None:
        """Phases are opened in their order, and the rollback's only where there is one."""
        if self.phase.when == "rolled-back":
            if not state.rolled_back:
                mend = f"`deploykit rollback {self.run.id}` sends traffic back at once, and then comes here"
                raise NotPassedError("nobody asked for a rollback", where=self.phase.notebook, mend=mend)
            return
        for before in checklist.checklist().phase:
            if before.id == self.phase.id:
                return
            if state.phases.get(before.id) != "passed":
                mend = f"open {before.notebook}.ipynb"
                raise NotPassedError(f"phase {before.id} comes first", where=self.phase.notebook, mend=mend)

    # --- what a cell calls

    def check(self, item: str) -> None:
        """Look at one item and show what was found. An item that passed before is shown as it was."""
        found = self._item(item, but_not=Kind.ACTION)
        display = live.Display(item, found.title)
        if self.mode != "replay" and not self._passed(item):
            self._require_idle()
            self._require_earlier(item)
            display.working("looking")
            execution.run_check(self.run, self._context(display), found)
        self._show(item, display)

    def act(self, item: str) -> None:
        """Do one item, once. What was done before is shown, and never done again.

        Raises:
            DeploykitError: It did not pass, or may not be begun; in JupyterLab the gate says so, headless this call.
        """
        found = self._item(item, but_not=Kind.CHECK)
        display = live.Display(item, found.title)
        done = item in self.run.state().items
        if self.mode == "replay" or done:
            self._show(item, display)
            if done and self.mode != "step":
                execution.require_passed(self.run, item)
            return
        self._require_idle()
        self._require_earlier(item)
        display.working("begins")
        self._work(item, display, lambda: execution.run_action(self.run, self._context(display), found))

    def watch(self, *items: str) -> None:
        """Watch production for the plan's time, and prove these items by what was seen.

        Raises:
            RolledBackError: The judge said to go back, and traffic is on live.
        """
        if self.mode == "replay" or all(self._passed(item) for item in items):
            for item in items:
                self._show(item, live.Display(item, self._item(item).title))
            return
        self._require_idle()
        self._require_earlier(items[0])
        display = live.Display("watch", self.phase.title)
        display.working("begins")
        self._work("watch", display, lambda: self._watch(items, display))

    def gate(self) -> None:
        """End the phase: pass, or raise with what keeps it shut.

        Raises:
            NotPassedError: An item has not passed, or work is still under way.
        """
        self._require_idle()
        state = self.run.state()
        shut = tuple((i.id, self._why(i.id)) for i in self.items if not state.opens(i.id))
        if not shut and self.mode != "replay":
            self._end()
        if self.mode == "step" and (not shut or state.rolled_back or state.returned):
            live.publish(show.note("papermill writes the archived copy"), f"gate/{self.phase.id}")
            self._archive()
            live.publish(show.gate(self.phase.title, shut), f"gate/{self.phase.id}", update=True)
        else:
            live.publish(show.gate(self.phase.title, shut))
        if shut:
            self._raise_shut(shut)

    def _end(self) -> None:
        """Note that the phase passed, and with the last one that the run is done."""
        if self.run.state().phases.get(self.phase.id) != "passed":
            self.run.append(Type.PHASE_ENDED, item=self.phase.id, data={"result": "passed"})
        last = [phase for phase in checklist.checklist().phase if phase.when == "always"][-1]
        ends = {last.id: Status.DONE, "rollback": Status.ROLLED_BACK}.get(self.phase.id)
        if ends is not None and self.run.state().status is Status.OPEN:
            self.run.append(Type.RUN_ENDED, data={"status": ends.value})

    def _raise_shut(self, shut: tuple[tuple[str, str], ...]) -> None:
        if self._worker is not None and self._worker.error is not None:
            raise self._worker.error
        listed = "; ".join(f"{item} is {why}" for item, why in shut)
        raise NotPassedError(listed, where=f"gate of {self.phase.id}", mend=f"`deploykit status {self.run.id}`")

    # --- how it is done

    def _work(self, name: str, display: live.Display, work: Callable[[], Any]) -> None:
        """Headless: do it here. Stepped through: on a thread, and the cell returns at once."""

        def told(error: BaseException | None) -> None:
            if name in self.run.state().items:
                self._show(name, display)
            elif error is not None:
                display.put(show.failed(name, error))

        if self.mode == "step":
            self._worker = live.Worker(name, work, told)
            self._worker.start()
            return
        try:
            work()
        except BaseException as error:
            told(error)
            raise
        told(None)

    def _watch(self, items: tuple[str, ...], display: live.Display) -> None:
        began = time.monotonic()
        try:
            watched = watch(self._context(display))
        except StopAskedError as stopped:
            kind = RolledBackError if self.run.state().rolled_back else HeldError
            raise kind(str(stopped), where="watch", mend=f"`deploykit status {self.run.id}` says why") from stopped
        results = [self._item(item).load()(None, watched) for item in items]
        self._roll_back_if_told(watched)
        for result in results:
            self.run.settle(result)
            self._show(result.item, live.Display(result.item, self._item(result.item).title))
        display.put(show.working("watch", self.phase.title, f"watched for {time.monotonic() - began:.0f} s"))
        if self.run.state().rolled_back:
            raise RolledBackError(self.run.state().rolled_back, where="watch", mend="90_rollback goes on from here")

    def _roll_back_if_told(self, watched: Watched) -> None:
        verdict = watched.verdict
        if verdict is not None and verdict.answer is Answer.ROLL_BACK:
            traffic_back(self.run, verdict.reason)

    def _context(self, display: live.Display) -> Context:
        def told(line: str, evidence: Evidence) -> None:
            progress.say(self.run, line)
            display.working(line, evidence)

        return Context(
            plan=self.run.plan,
            settings=self.run.settings,
            environment=self.run.environment,
            ports=witnessed(connect(self.run.settings, self.run.environment), self.run),
            guard=GuardProcess(self.run),
            progress=told,
            pause=self._pause,
            timeline=self._timeline,
            incident=lambda: report.incident(self.run.plan, self.run.events(), report.own_templates(self.run)),
            write=self.run.write,
        )

    def _pause(self, seconds: float) -> None:
        """Wait; but a rollback elsewhere, or traffic that went back, ends forward work at once."""
        deadline = time.monotonic() + seconds
        while True:
            self.run.beat()
            state = self.run.state()
            if self.phase.when == "always" and (state.rolled_back or state.returned):
                raise StopAskedError(f"traffic went back to live meanwhile: {state.rolled_back or state.returned}")
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._stop.wait(min(left, 0.5))

    def _timeline(self) -> tuple[Json, ...]:
        return tuple(event.model_dump(mode="json") for event in self.run.events())

    def _item(self, item: str, *, but_not: Kind | None = None) -> checklist.Item:
        found = checklist.checklist().find(item)
        if found.phase != self.phase.id:
            raise UsageError(f"{item} belongs to phase {found.phase}", where=self.phase.notebook, mend="call it there")
        if found.kind is but_not:
            call = {Kind.CHECK: "phase.check", Kind.ACTION: "phase.act"}[found.kind]
            raise UsageError(f"{item} is of kind {found.kind}", where=self.phase.notebook, mend=f"call {call}")
        return found

    def _passed(self, item: str) -> bool:
        settled = self.run.state().items.get(item)
        return settled is not None and settled.outcome.opens

    def _why(self, item: str) -> str:
        settled = self.run.state().items.get(item)
        return f"{settled.outcome.value}: {settled.summary}" if settled else "not done yet"

    def _require_idle(self) -> None:
        worker = self._worker
        if worker is not None and worker.busy:
            raise NotPassedError(
                f"{worker.name} is still under way", where="this cell", mend="run it again when it ended"
            )

    def _require_earlier(self, item: str) -> None:
        """Items are done in the checklist's order."""
        state = self.run.state()
        for before in self.items:
            if before.id == item:
                return
            if before.id not in state.items:
                raise NotPassedError(
                    f"{before.id} comes before {item}", where="this cell", mend="run the cells in order"
                )

    def _show(self, item: str, display: live.Display) -> None:
        """Show an item as the journal has it."""
        result = self.run.result(item) or Result(
            item=item, outcome=Outcome.NOT_REACHED, summary="the run ended before it"
        )
        display.put(show.item(self._item(item).title, result), result.evidence.figures)
        for scrap in show.scraps(result):
            live.publish(scrap)

    def _archive(self) -> None:
        """Let papermill write the archived copy, in replay."""
        from deploykit.runner import replay_apart  # noqa: PLC0415 - headless kernels never need it

        replay_apart(self.run, self.phase)
