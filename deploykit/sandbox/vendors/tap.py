"""What lies around a stand-in: it records each operation and breaks those that a test asks to break."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploykit.sandbox.calls import Call, Fault
from deploykit.sandbox.serving import reset_connection

GARBAGE = b'<html>{"this is": not JSON'


@dataclass(frozen=True)
class Operation:
    """What a request asks for: the vendor's name of it, whether it changes anything, and a short detail."""

    name: str
    changing: bool
    detail: str


@dataclass(frozen=True)
class Vendor:
    """How a vendor names operations and words its failures."""

    name: str
    describe: Callable[[Request, bytes], Operation]
    failure: Callable[[int], tuple[Any, Mapping[str, str]]]


class Tap:
    """Wraps a stand-in's application.

    Args:
        app: The application.
        vendor: Whose it is.
        put: Sets what it knows: as at the start, but for these differences.
    """

    def __init__(self, app: ASGIApp, vendor: Vendor, put: Callable[[dict[str, Any]], None]) -> None:
        self.app, self.vendor, self.put = app, vendor, put
        self.calls: list[Call] = []
        self.fault: Fault | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        began = time.time()
        body = await Request(scope, receive).body()
        operation = self.vendor.describe(Request(scope), body)
        fault = self.take(operation.name)
        answer = Answer()
        applied = fault is None or fault.after or not breaks(fault)
        if fault and not fault.after:
            await asyncio.sleep(fault.delay)
        if applied:
            await self.app(scope, replay(body), answer)
        if fault and fault.after:
            await asyncio.sleep(fault.delay)
        status = self.broken_status(fault, answer.status)
        self.calls.append(Call(**asdict(operation), at=began, status=status, applied=applied))
        await self.reply(fault, answer, scope, receive, send)

    def take(self, name: str) -> Fault | None:
        """The fault for this request, counted down."""
        fault = self.fault
        if fault is None or (fault.only and fault.only != name):
            return None
        if fault.times is not None:
            self.fault = replace(fault, times=fault.times - 1) if fault.times > 1 else None
        return fault

    def broken_status(self, fault: Fault | None, status: int) -> int:
        """The status that the client will see."""
        if fault is None or not breaks(fault):
            return status
        return 0 if fault.reset else fault.status or 200

    async def reply(self, fault: Fault | None, answer: "Answer", scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer, or what the fault makes of it."""
        if fault is None or not breaks(fault):
            for message in answer.messages:
                await send(message)
        elif fault.reset:
            reset_connection(scope["client"])
        elif fault.garbage:
            await Response(GARBAGE, fault.status or 200, media_type="application/json")(scope, receive, send)
        else:
            body, headers = self.vendor.failure(fault.status or 500)
            await JSONResponse(body, fault.status or 500, dict(headers))(scope, receive, send)


class Answer:
    """An answer held back until it is decided what the client sees."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        """Keeps one message."""
        self.messages.append(message)

    @property
    def status(self) -> int:
        """Its HTTP status; 0 before there is one."""
        return int(self.messages[0]["status"]) if self.messages else 0


def breaks(fault: Fault) -> bool:
    """Whether the fault changes the answer, and does not only delay it."""
    return bool(fault.status or fault.reset or fault.garbage)


def replay(body: bytes) -> Receive:
    """A receive channel that gives a body already read."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def read_json(body: bytes) -> Any:
    """The body's JSON, or None where there is none."""
    try:
        return json.loads(body)
    except ValueError:
        return None
