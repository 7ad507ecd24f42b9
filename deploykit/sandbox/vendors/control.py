"""The sandbox's own interface to its stand-ins: stop, start, break and change them, read what they were asked."""

from collections.abc import Mapping
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deploykit.sandbox.calls import Fault
from deploykit.sandbox.serving import Listener
from deploykit.sandbox.vendors.tap import Tap


def make_app(taps: Mapping[str, Tap], listeners: Mapping[str, Listener]) -> Starlette:
    """The control application."""

    async def ready(_: Request) -> JSONResponse:
        return JSONResponse({"ready": True})

    async def calls(request: Request) -> JSONResponse:
        return JSONResponse([asdict(call) for call in taps[request.path_params["vendor"]].calls])

    async def switch(request: Request) -> JSONResponse:
        listener = listeners[request.path_params["vendor"]]
        await (listener.start() if request.path_params["verb"] == "start" else listener.stop())
        return JSONResponse({})

    async def fault(request: Request) -> JSONResponse:
        sent = await request.json()
        taps[request.path_params["vendor"]].fault = Fault(**sent) if sent else None
        return JSONResponse({})

    async def state(request: Request) -> JSONResponse:
        taps[request.path_params["vendor"]].put(await request.json())
        return JSONResponse({})

    return Starlette(
        routes=[
            Route("/ready", ready),
            Route("/{vendor}/calls", calls),
            Route("/{vendor}/fault", fault, methods=["PUT"]),
            Route("/{vendor}/state", state, methods=["PUT"]),
            Route("/{vendor}/{verb}", switch, methods=["POST"]),
        ]
    )
