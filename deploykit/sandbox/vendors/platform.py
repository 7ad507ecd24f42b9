"""What Railway runs here: the two colours, the staging copy, their deployments, and the processes behind them."""

import asyncio
import random
import signal
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from deploykit.sandbox.addresses import (
    RAILWAY_BLUE,
    RAILWAY_GREEN,
    RAILWAY_PRODUCTION,
    RAILWAY_SHOP_STAGING,
    RAILWAY_STAGING,
    SESSION_KEY,
    Addresses,
    local_url,
)
from deploykit.sandbox.processes import Child, listen, spawn
from deploykit.sandbox.proxy import COLOURS
from deploykit.sandbox.releases import HEAD, IDLE, LIVE, STAGING, Release, find_release

# A real build takes minutes; these are long enough to be seen by a client that polls.
QUEUE_SECONDS, BUILD_SECONDS, HEALTH_SECONDS = 0.2, 0.4, 20.0
UNHEALTHY_ANSWERS = 5
#: By colour, or "staging": the service, its environment, what it runs at first, and its port's name.
SERVICES = {
    "blue": (RAILWAY_BLUE, RAILWAY_PRODUCTION, IDLE, "blue"),
    "green": (RAILWAY_GREEN, RAILWAY_PRODUCTION, LIVE, "green"),
    "staging": (RAILWAY_SHOP_STAGING, RAILWAY_STAGING, STAGING, "staging_copy"),
}


class PlatformError(Exception):
    """A request that the platform refuses."""


@dataclass
class Deployment:
    """One deployment of one service."""

    service_id: str
    release: Release
    reason: str
    environment_id: str
    status: str = "INITIALIZING"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    status_updated_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    has_run: bool = False

    def become(self, status: str) -> None:
        """Changes the status."""
        self.status, self.status_updated_at = status, datetime.now(UTC)
        self.has_run = self.has_run or status == "SUCCESS"


@dataclass
class Service:
    """A service on its own port, and the deployment that is active there."""

    id: str
    environment_id: str
    name: str
    colour: str
    port: int
    variables: dict[str, str]
    public: socket.socket | None = None
    active: Deployment | None = None
    child: Child | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Platform:
    """Runs the services.

    Args:
        addresses: Where the services listen and their database is.
        before_switch: Called around each change of version, so that traffic is counted for the right one.
    """

    def __init__(self, addresses: Addresses, before_switch: Callable[[], Awaitable[None]]) -> None:
        self.addresses, self.before_switch = addresses, before_switch
        self.services = {
            identifier: Service(
                identifier, place, f"shop-{colour}", colour, addresses.ports[port], self.variables(colour)
            )
            for colour, (identifier, place, _, port) in SERVICES.items()
        }
        self.deployments: list[Deployment] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def running(self) -> dict[str, tuple[str, int | None]]:
        """The version active on each colour, and its process."""
        active = [s for s in self.services.values() if s.active]
        return {s.colour: (s.active.release.tag, s.child.process.pid if s.child else None) for s in active if s.active}

    def variables(self, colour: str) -> dict[str, str]:
        """A service's variables at the start: its own, and those that Railway provides."""
        values = {"DATABASE_URL": self.addresses.postgres_dsn, "LOG_LEVEL": "info", "SHOP_CURRENCY": "EUR"}
        provided = {
            "RAILWAY_SERVICE_NAME": f"shop-{colour}",
            "RAILWAY_ENVIRONMENT_NAME": "staging" if colour == "staging" else "production",
        }
        values["SENTRY_DSN"] = self.addresses.sentry_dsn
        # Both colours share it, or a shift of traffic would end every session.
        key = SESSION_KEY if colour in COLOURS else "sandbox-session-key-of-staging"
        return {**values, **provided, "SESSION_KEY": key}

    async def boot(self) -> None:
        """Starts green with the live release, blue with an older one, and the staging copy."""
        first = [
            Deployment(identifier, self.release(tag), "deploy", place)
            for identifier, place, tag, _ in SERVICES.values()
        ]
        self.deployments = list(first)
        async with asyncio.TaskGroup() as tasks:
            for deployment in first:
                tasks.create_task(self.bring_up(deployment))
        self.run(self.watch())

    def release(self, name: str) -> Release:
        """A release by its tag or commit."""
        found = find_release(name)
        if found is None:
            raise PlatformError(f"Commit not found: {name}")
        return found

    def deployment(self, identifier: str) -> Deployment:
        """A deployment by its id."""
        found = next((d for d in self.deployments if d.id == identifier), None)
        if found is None:
            raise PlatformError("Deployment not found")
        return found

    def service(self, identifier: str) -> Service:
        """A service by its id."""
        if identifier not in self.services:
            raise PlatformError("Service not found")
        return self.services[identifier]

    def deploy(self, service_id: str, commit: str | None) -> Deployment:
        """Builds and deploys a commit; the head of the branch when none is given."""
        place = self.service(service_id).environment_id
        return self.begin(Deployment(service_id, self.release(commit or HEAD), "deploy", place), build=True)

    def deploy_again(self, identifier: str, reason: str) -> Deployment:
        """Deploys what a deployment ran, without building it again."""
        before = self.deployment(identifier)
        if not before.has_run:
            raise PlatformError("Deployment cannot be rolled back" if reason == "rollback" else "Cannot redeploy")
        again = Deployment(before.service_id, before.release, reason, before.environment_id)
        return self.begin(again, build=False)

    def restart(self, identifier: str) -> None:
        """Restarts the processes of the active deployment."""
        deployment = self.deployment(identifier)
        if self.service(deployment.service_id).active is not deployment:
            raise PlatformError("Deployment is not active")
        deployment.become("DEPLOYING")
        self.run(self.start_again(deployment))

    def begin(self, deployment: Deployment, *, build: bool) -> Deployment:
        """Records a deployment and lets it proceed."""
        self.deployments.append(deployment)
        self.run(self.roll_out(deployment, build=build))
        return deployment

    def run(self, work: Coroutine[object, object, None]) -> None:
        """Runs something beside the requests."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def roll_out(self, deployment: Deployment, *, build: bool) -> None:
        """Takes a deployment to its end, one after the other in a service."""
        turn = self.service(deployment.service_id).turn
        if turn.locked():
            deployment.become("QUEUED")
        async with turn:
            if build:
                await asyncio.sleep(QUEUE_SECONDS)
                deployment.become("BUILDING")
                await asyncio.sleep(BUILD_SECONDS)
            deployment.become("DEPLOYING")
            await self.bring_up(deployment)

    async def start_again(self, deployment: Deployment) -> None:
        """Replaces the processes of the active deployment, unless another has become active by then."""
        service = self.service(deployment.service_id)
        async with service.turn:
            if service.active is deployment:
                await self.bring_up(deployment)

    async def bring_up(self, deployment: Deployment) -> None:
        """Starts the processes; switches over when they are healthy, and else keeps what ran before."""
        service = self.service(deployment.service_id)
        service.public = service.public or listen(service.port)
        private = listen(0)
        child = self.start(service, deployment, private)
        try:
            verdict = await healthy(child, private.getsockname()[1])
        finally:
            private.close()
        if verdict != "SUCCESS":
            await end(child)
            deployment.become(verdict)
            return
        await self.switch(service, deployment, child)

    def log(self, deployment: Deployment) -> list[str]:
        """What the processes of a deployment said so far."""
        file = self.addresses.folder / f"{log_name(deployment)}.log"
        return file.read_text(errors="replace").splitlines() if file.exists() else []

    def start(self, service: Service, deployment: Deployment, private: socket.socket) -> Child:
        """Starts a process of a release with its private socket and the service's public one."""
        if service.public is None:
            raise PlatformError("Service has no port")
        fds = {"private-fd": private.fileno(), "public-fd": service.public.fileno()}
        log = self.addresses.folder / f"{service.name}.jsonl"
        given = {"version": deployment.release.tag, "colour": service.colour, "log": log, **fds}
        arguments = [part for name, value in given.items() for part in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "deploykit.sandbox.service", *arguments]
        own, passed = service.variables, tuple(fds.values())
        return spawn(log_name(deployment), command, self.addresses.folder, environment=own, pass_fds=passed)

    async def switch(self, service: Service, deployment: Deployment, child: Child) -> None:
        """Lets the new process take the port, then ends the old one, as Railway overlaps them."""
        await self.before_switch()
        old, old_child = service.active, service.child
        child.process.send_signal(signal.SIGUSR1)
        service.active, service.child = deployment, child
        if old_child:
            await end(old_child)
        if old and old is not deployment:
            old.become("REMOVED")
        deployment.become("SUCCESS")

    async def watch(self) -> None:
        """Marks a deployment as crashed when its process ends by itself, and closes its port."""
        while True:
            await asyncio.sleep(0.2)
            for service in self.services.values():
                if service.child and service.active and not service.turn.locked() and ended(service.child):
                    service.active.become("CRASHED")
                    service.child = None
                    if service.public:
                        service.public.close()
                        service.public = None

    async def stop(self) -> None:
        """Ends everything at once."""
        for task in self.tasks:
            task.cancel()
        for service in self.services.values():
            if service.child:
                service.child.process.kill()
                service.child.process.wait()


def log_name(deployment: Deployment) -> str:
    """What the log of a deployment's processes is called."""
    return f"deployment-{deployment.id}"


def ended(child: Child) -> bool:
    """Whether the process has ended."""
    return child.process.poll() is not None


async def end(child: Child) -> None:
    """Lets a process finish its requests and end, or kills it after a while."""
    if not ended(child):
        child.process.terminate()
    for _ in range(200):
        if ended(child):
            return
        await asyncio.sleep(0.02)
    child.process.kill()
    child.process.wait()


async def healthy(child: Child, port: int) -> str:
    """Asks for the health of a new process: the status its deployment ends with."""
    loop = asyncio.get_running_loop()
    deadline, refusals = loop.time() + HEALTH_SECONDS, 0
    async with httpx.AsyncClient(trust_env=False, timeout=HEALTH_SECONDS) as client:
        while loop.time() < deadline and refusals < UNHEALTHY_ANSWERS:
            if ended(child):
                return "CRASHED"
            try:
                answer = await client.get(local_url(port) + "/health")
            except httpx.TransportError:
                await asyncio.sleep(0.02)
                continue
            if answer.status_code == 200:
                return "SUCCESS"
            refusals += 1
            await asyncio.sleep(random.uniform(0.1, 0.2))
    return "FAILED"
