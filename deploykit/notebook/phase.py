"""One phase of the runbook, as its notebook sees it."""

from __future__ import annotations

import os

from deploykit import checklist, execution, planning
from deploykit import settings as settings_module
from deploykit.errors import NotPassedError, UsageError
from deploykit.execution.checks import Looking, leave_out
from deploykit.journal import spool
from deploykit.journal.events import Actor, Type
from deploykit.journal.state import State, Status
from deploykit.model import Kind
from deploykit.notebook import forms, live, show
from deploykit.notebook.work import Work
from deploykit.run import Run, login
from deploykit.signoff import gate

#: Names the run where no parameter does, for tools that execute notebooks without any.
RUN = "DEPLOYKIT_RUN"
#: The contacts are looked up for this long before a notebook's head is shown.
CONTACTS_SECONDS = 10.0
CALLS = {Kind.CHECK: "check", Kind.ACTION: "act", Kind.SIGN_OFF: "sign"}


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
        self.work = Work(run, mode, forward=phase.when == "always")

    @classmethod
    def open(cls, phase: str, run: str = "", *, service: str = "", environment: str = "", release: str = "") -> Phase:
        """Open a phase of a run and show where it stands.

        Args:
            phase: The phase's id, such as `blue-green`.
            run: The run's id, its number, or the end of its id.
            service: Instead of a run, with the next two: what to plan. It must be the settings' own service.
            environment: Where to deploy it.
            release: The tag to deploy.

        Raises:
            UsageError: There is no such phase or run, or an earlier phase has to come first.
        """
        row = checklist.checklist().find_phase(phase)
        settings, mode = settings_module.load(), live.mode()
        actor = Actor(kind="person", id=login()) if mode == "step" else Actor(kind="kernel", id=f"pid-{os.getpid()}")
        run = run or os.environ.get(RUN, "")
        if run:
            found = Run.find(settings, run, actor)
        elif release:
            found = _plan(settings, service, environment, release, actor)
        else:
            mend = "set the parameter `run`; `deploykit plan` makes one"
            raise UsageError("no run is named", where=row.notebook, mend=mend)
        opened = cls(row, found, mode)
        opened._begin()
        return opened

    def _begin(self) -> None:
        state = self.run.state()
        if state.sealed:
            self.mode = "replay"  # what is sealed is only shown
        if self.mode != "replay":
            spool.merge(self.run.store, self.run.id, self.run.actor)
            self._require_turn(state)
            self._look_up_contacts()
        live.publish(show.head(self.run.plan, self.phase.title, self.items, self.run.state()), "head")
        if self.mode == "step":
            forms.offer_rollback(self.run)
        if self.mode != "replay" and self.phase.id not in state.phases:
            self.run.append(Type.PHASE_STARTED, item=self.phase.id, data={"mode": self.mode})

    def _look_up_contacts(self) -> None:
        """Who can be called just now; never in the way of a rollback."""
        if self.phase.when != "always":
            return
        contacts = checklist.checklist().contacts
        lookup = Looking(self.run, lambda _item: execution.make_context(self.run), CONTACTS_SECONDS)
        lookup.begin(contacts)
        for contact in contacts:
            if self.mode == "step":
                lookup.then(contact.id, lambda _error: self._show_head())
            else:
                lookup.wait(contact.id)

    def _show_head(self) -> None:
        live.publish(show.head(self.run.plan, self.phase.title, self.items, self.run.state()), "head", update=True)

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
            if state.phases.get(before.id) != "passed" and not leave_out(self.run, before.id):
                mend = f"open {before.notebook}.ipynb"
                raise NotPassedError(f"phase {before.id} comes first", where=self.phase.notebook, mend=mend)

    # --- what a cell calls

    def look(self) -> None:
        """Begin every check of this phase that hangs on nothing, side by side; their own cells show what was found."""
        if self.mode == "replay":
            return
        free = [item for item in self.items if item.kind is not Kind.ACTION and not (item.after or item.watched)]
        self.work.begin(free)
        live.publish(show.note(f"{len(free)} checks are under way"))

    def check(self, item: str) -> None:
        """Look at one item and show what was found. An item that passed before is shown as it was."""
        self._look_at(self._item(item, Kind.CHECK))

    def sign(self, item: str) -> None:
        """Gather what a person signs over, and show it with their word, once it is given."""
        self._look_at(self._item(item, Kind.SIGN_OFF))

    def act(self, item: str) -> None:
        """Do one item, once. What was done before is shown, and never done again.

        Raises:
            DeploykitError: It did not pass, or may not be begun; in JupyterLab the gate says so, headless this call.
        """
        found = self._item(item, Kind.ACTION)
        self.work.display(found)
        if self.mode == "replay" or gate.opens(self.run, item):
            self.work.show(found)
            return
        self.work.require_idle()
        self._require_earlier(item)
        self.work.act(found)

    def watch(self) -> None:
        """Watch production for the plan's time; the cells below show the items that this proves.

        Raises:
            RolledBackError: The judge said to go back, and traffic is on live.
        """
        watched = [item for item in self.items if item.watched]
        if self.mode == "replay" or all(gate.opens(self.run, item.id) for item in watched):
            live.publish(show.note("the watch is over; its items are below"))
            return
        self.work.require_idle()
        self._require_earlier(watched[0].id)
        self.work.watch(watched, self.phase.title)

    def gate(self) -> None:
        """End the phase: pass, or raise with what keeps it shut.

        Raises:
            Waiting: Only people's words are missing.
            NotPassedError: An item has not passed, or work is still under way.
        """
        self.work.require_idle()
        state = self.run.state()
        gated = checklist.checklist().gate(self.phase.id)
        shut = tuple((i.id, why) for i in gated if (why := gate.shut(self.run, i.id)))
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
        if self.work.error is not None:
            raise self.work.error
        listed = "; ".join(f"{item} is {why}" for item, why in shut)
        raise NotPassedError(listed, where=f"gate of {self.phase.id}", mend=f"`deploykit status {self.run.id}`")

    def _look_at(self, item: checklist.Item) -> None:
        self.work.display(item)
        if self.mode == "replay" or gate.opens(self.run, item.id):
            self.work.show(item)
        elif item.watched:
            self.work.show_watched(item)
        else:
            self.work.require_free()
            if not self.work.known(item.id):
                self._require_earlier(item.id)
            self.work.look_at(item)

    def _item(self, item: str, kind: Kind) -> checklist.Item:
        found = checklist.checklist().find(item)
        if found.phase != self.phase.id:
            raise UsageError(f"{item} belongs to phase {found.phase}", where=self.phase.notebook, mend="call it there")
        if found.kind is not kind:
            mend = f"call phase.{CALLS[found.kind]}"
            raise UsageError(f"{item} is of kind {found.kind}", where=self.phase.notebook, mend=mend)
        return found

    def _require_earlier(self, item: str) -> None:
        """Items are done in the checklist's order."""
        state = self.run.state()
        for before in self.items:
            if before.id == item:
                return
            if before.id not in state.items and not self.work.known(before.id):
                raise NotPassedError(
                    f"{before.id} comes before {item}", where="this cell", mend="run the cells in order"
                )

    def _archive(self) -> None:
        """Let papermill write the archived copy, in replay."""
        from deploykit.runner import replay_apart  # noqa: PLC0415 - headless kernels never need it

        replay_apart(self.run, self.phase)


def _plan(settings: settings_module.Settings, service: str, environment: str, release: str, actor: Actor) -> Run:
    """A new run, for a notebook that was given a release instead of a run."""
    if service != settings.service.name:
        mend = f"the settings deploy {settings.service.name!r}"
        raise UsageError(f"service is {service!r}", where="parameter service", mend=mend)
    run = planning.make(settings, environment, release, actor)
    live.publish(show.note(f"planned {run.id}; somebody else approves it: deploykit sign {run.plan.number} plan"))
    return run
