"""A small team with real keys, and a run of theirs, in a folder of the test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploykit import settings as settings_module
from deploykit.journal.events import Actor
from deploykit.journal.store import RunRow
from deploykit.model import Arm, Evidence, Outcome, Plan, Result, TrafficStep, now
from deploykit.run import Run, new_id
from deploykit.signoff.kept import sign_plan

PEOPLE = {
    "ann": ("ann@example.com", "ann", ("approver",)),
    "bob": ("bob@example.com", "Bob", ("approver",)),
    "olga": ("olga@example.com", "olga", ("approver", "operator")),
    "dev": ("dev@example.com", "dev", ()),
    "nameless": ("nameless@example.com", "", ("approver",)),
    "demo": ("ann@sandbox.invalid", "demo", ("approver",)),
}

SETTINGS = """\
archive = "archive"
[service]
name = "shop"
[environments.production]
url = "https://shop.example.com"
timezone = "Europe/Berlin"
colours.blue = {{url = "https://blue.example.com", platform_service = "shop-blue"}}
colours.green = {{url = "https://green.example.com", platform_service = "shop-green"}}
router = {{url = "https://router.example.com"}}
platform = {{project = "p", environment = "e", token = "env:RAILWAY_TOKEN"}}
[github]
repository = "example/shop"
token = "env:GITHUB_TOKEN"
[metrics]
api_key = "env:DD_API_KEY"
app_key = "env:DD_APP_KEY"
requests = "r"
errors = "e"
slow = "s"
p95 = "p"
[chat]
token = "env:SLACK_TOKEN"
[signing]
allowed_signers = "allowed_signers"
key = "keys/olga"
operator = "olga@example.com"
solo = {solo}
"""


@dataclass
class Team:
    """A folder with settings, keys and allowed signers."""

    home: Path
    solo: bool = False
    listed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        people = "".join(
            f'[people.{name}]\nprincipal = "{principal}"\ngithub = "{github}"\nroles = {list(roles)}\n'
            for name, (principal, github, roles) in PEOPLE.items()
        )
        text = SETTINGS.format(solo=str(self.solo).lower()) + people
        (self.home / "deploykit.toml").write_text(text, "utf-8")
        (self.home / "keys").mkdir()
        for name, (principal, _, _) in PEOPLE.items():
            self.list_key(principal, self.make_key(name))
        self.list_key("stranger@example.com", self.make_key("stranger"))

    def make_key(self, name: str) -> Path:
        path = self.key(name)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path

    def key(self, name: str) -> Path:
        return self.home / "keys" / name

    def list_key(self, principal: str, key: Path, options: str = "") -> None:
        kind, blob, *_ = key.with_suffix(".pub").read_text("ascii").split()
        self.listed.append(" ".join(filter(None, (principal, options, kind, blob))))
        self.write_signers()

    def write_signers(self) -> None:
        self.signers.write_text("\n".join(self.listed) + "\n", "ascii")

    @property
    def signers(self) -> Path:
        return self.home / "allowed_signers"

    def settings(self) -> settings_module.Settings:
        return settings_module.load(self.home / "deploykit.toml")

    @contextmanager
    def run(self, *, sandbox: bool = False, authors: tuple[str, ...] = ("dev", "bob")) -> Iterator[Run]:
        """A fresh run; its plan is signed by its operator."""
        settings = self.settings()
        row = RunRow(run=new_id("shop", "production"), number=0, service="shop", environment="production", release="v2")

        def make(number: int) -> tuple[Plan, dict[str, bytes]]:
            plan = Plan(
                run=row.run,
                number=number,
                service="shop",
                environment="production",
                release="v2",
                commit="c" * 40,
                operator="olga@example.com",
                solo=settings.signing.solo,
                made_at=now(),
                made_with="0.1.0",
                live=arm("green", "v1"),
                candidate=arm("blue", "v2"),
                steps=(
                    TrafficStep(percent=10, seconds=60, requests=10),
                    TrafficStep(percent=100, seconds=60, requests=10),
                ),
                watch_seconds=1800,
                hold_limit_seconds=900,
                guard_seconds=60,
                notebooks={},
                settings=settings.digest,
                sandbox=sandbox,
                authors=authors,
            )
            return plan, {"signatures/plan.sig": sign_plan(plan, self.key("olga"))}

        run = Run.create(settings, row, Actor(kind="person", id="olga"), make)
        try:
            yield run
        finally:
            run.store.close()


def arm(colour: str, version: str) -> Arm:
    return Arm.model_validate(
        {
            "colour": colour,
            "version": version,
            "url": f"https://{colour}.example.com",
            "platform_service": f"shop-{colour}",
        }
    )


def settle(
    run: Run, item: str, outcome: Outcome, evidence: Evidence | None = None, summary: str = "as it went"
) -> None:
    run.settle(Result(item=item, outcome=outcome, summary=summary, evidence=evidence or Evidence()))
