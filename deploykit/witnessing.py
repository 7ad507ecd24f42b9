"""Lets the chat bear witness: each message says how long the journal is, and the journal says which message knows."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from deploykit.journal import witness
from deploykit.journal.events import Type

if TYPE_CHECKING:
    from deploykit.context import Ports
    from deploykit.ports import Chat, Message
    from deploykit.run import Run


def witnessed(ports: Ports, run: Run) -> Ports:
    """The same outside systems; what is posted in this run's name carries the journal's head."""
    return cast("Ports", _Ports(ports, run))


class _Ports:
    """Hands on everything but the chat.

    Args:
        ports: The outside systems.
        run: Whose journal it is.
    """

    def __init__(self, ports: Ports, run: Run) -> None:
        self._ports, self._run = ports, run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ports, name)

    @cached_property
    def chat(self) -> Chat:
        return cast("Chat", _Chat(self._ports.chat, self._run))


class _Chat:
    """Hands on everything but `post`.

    Args:
        chat: Where the team talks.
        run: Whose journal it is.
    """

    def __init__(self, chat: Chat, run: Run) -> None:
        self._chat, self._run = chat, run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chat, name)

    def post(self, channel: str, text: str, **how: Any) -> Message:
        """Post it with the head below, and note who knows it now."""
        newest = self._run.events()[-1]
        posted = self._chat.post(channel, f"{text}\n{witness.sentence(newest)}", **how)
        place = f"chat {posted.channel} {posted.ts}"
        self._run.append(Type.WITNESS_GIVEN, data=witness.given(newest, place))
        return posted
