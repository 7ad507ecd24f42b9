"""Shows work under way in place, and runs it on a thread where a person steps through."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from deploykit import plots
from deploykit.model import Evidence, Figure
from deploykit.notebook import show

Mode = Literal["run", "replay", "step"]
#: The engine sets it for the kernels that it starts; a kernel without it belongs to a person.
VARIABLE = "DEPLOYKIT_MODE"
#: A picture is drawn again at most this often while work is under way.
PICTURE_SECONDS = 3.0


def mode() -> Mode:
    """How this kernel is run: headless, replayed, or stepped through by a person."""
    modes: dict[str, Mode] = {"run": "run", "replay": "replay"}
    return modes.get(os.environ.get(VARIABLE, ""), "step")


def publish(bundle: show.Bundle, display_id: str = "", *, update: bool = False) -> None:
    """Put a bundle into the cell's output, or replace the one of this id wherever it is."""
    from IPython.display import display, update_display  # noqa: PLC0415 - only a kernel has it

    arguments: dict[str, Any] = {"raw": True, "metadata": bundle.metadata}
    if update:
        update_display(bundle.data, display_id=display_id, **arguments)
    else:
        display(bundle.data, display_id=display_id or None, **arguments)


class Display:
    """The outputs of an item: its words and its pictures, replaced in place.

    Args:
        item: The item's id.
        title: Its title.
    """

    def __init__(self, item: str, title: str) -> None:
        self.item, self.title = item, title
        self._shown: set[str] = set()
        self._drawn_at = 0.0

    def working(self, line: str, evidence: Evidence = Evidence()) -> None:  # noqa: B008 - frozen
        """Show how far it is."""
        self._put("words", show.working(self.item, self.title, line))
        drawable = any(series.points for figure in evidence.figures for series in figure.series)
        if drawable and time.monotonic() - self._drawn_at >= PICTURE_SECONDS:
            self._drawn_at = time.monotonic()
            self._draw(evidence.figures)

    def put(self, bundle: show.Bundle, figures: tuple[Figure, ...] = ()) -> None:
        """Show how it ended."""
        self._put("words", bundle)
        if figures:
            self._draw(figures)

    def _draw(self, figures: tuple[Figure, ...]) -> None:
        for number, figure in enumerate(figures):
            self._put(f"picture/{number}", show.picture(plots.draw(figure), plots.alt(figure)))

    def _put(self, part: str, bundle: show.Bundle) -> None:
        publish(bundle, f"{self.item}/{part}", update=part in self._shown)
        self._shown.add(part)


class Worker:
    """One piece of work on a thread of its own, so that no cell holds the kernel.

    Args:
        name: What it works on.
        work: What to do. What it raises is kept for the gate.
        show: Called when it has ended, with what it raised; the work no longer counts as under way by then.
    """

    def __init__(self, name: str, work: Callable[[], Any], show: Callable[[BaseException | None], None]) -> None:
        self.name = name
        self.error: BaseException | None = None
        self._work, self._show = work, show
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether it is still under way."""
        return self._thread.is_alive() and not self._ended.is_set()

    def _go(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - kept, and raised by the gate
            self.error = error
        self._ended.set()
        self._show(self.error)
