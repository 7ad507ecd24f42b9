"""What the doctor says of a sandbox in which one thing is wrong, asked over the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploykit import settings as settings_module
from deploykit.doctor import machine, team
from deploykit.doctor.asking import Question, answers, side_by_side
from deploykit.doctor.asking import asked as look_at
from deploykit.doctor.places import PLACES
from deploykit.doctor.vendors import VENDORS
from deploykit.errors import Exit
from deploykit.model import Outcome, Result
from deploykit.providers import connect
from deploykit.sandbox import Sandbox
from tests.e2e.conftest import Project
from tests.providers.faults import closed_port

pytestmark = pytest.mark.sandbox

ENVIRONMENT = "production"


def asked(project: Project, system: str) -> dict[str, Result]:
    """What one system answers."""
    settings = settings_module.load(project.home / settings_module.FILE)
    ports = connect(settings, settings.environment(ENVIRONMENT))
    ask = {**VENDORS, **PLACES}[system]
    found = side_by_side({system: look_at(ask, ports, ENVIRONMENT if system in PLACES else "")}, 60)
    return {result.item.removesuffix(f"/{ENVIRONMENT}"): result for result in found}


def replaced(project: Project, old: str, new: str) -> None:
    """Change the settings file."""
    file = project.home / settings_module.FILE
    changed, count = re.subn(old, new, file.read_text(), count=1)
    assert count, old
    file.write_text(changed)


def test_all_is_well_in_the_sandbox_and_nothing_is_changed(project: Project) -> None:
    vendors = project.box.vendors
    names = ("github", "railway", "datadog", "slack", "sentry", "pagerduty", "unleash")
    before = {name: len([call for call in vendors.calls(name) if call.changing]) for name in names}
    done = project.call("doctor", "--json")
    found = json.loads(done.stdout)
    assert [one for one in found if one["outcome"] != "pass"] == []
    assert done.returncode == Exit.DONE
    assert {"name", "outcome", "where", "what", "mend"} == set(found[0])
    assert {one["name"].split(".")[0] for one in found} >= {
        "github", "metrics", "chat", "errors", "pager", "flags", "router", "platform", "database", "service", "tls",
        "machine", "signing", "archive", "store", "settings",
    }  # fmt: skip
    assert {name: len([call for call in vendors.calls(name) if call.changing]) for name in names} == before


#: The secret's file, the system, its finding, and the setting that the mend names.
TOKENS = (
    ("github-token", "github", "github.access", "github.token"),
    ("slack-token", "chat", "chat.token", "chat.token"),
    ("sentry-token", "errors", "errors.project", "errors.token"),
    ("pagerduty-token", "pager", "pager.policy", "pager.token"),
    ("railway-token", "platform", "platform.project", "platform.token"),
    ("unleash-token", "flags", "flags.token", "flags.token"),
    ("datadog-api-key", "metrics", "metrics.api-key", "metrics.api_key"),
    ("datadog-app-key", "metrics", "metrics.app-key", "metrics.app_key"),
)


@pytest.mark.parametrize(("secret", "system", "name", "setting"), TOKENS)
def test_a_wrong_token_is_named_with_its_setting(
    project: Project, secret: str, system: str, name: str, setting: str
) -> None:
    wrong = "wrong-token-of-nobody"
    (project.home / "secrets" / secret).write_text(wrong)
    found = asked(project, system)[name]
    assert found.outcome is Outcome.FAIL
    assert setting in found.mend
    assert wrong not in found.model_dump_json()


def test_after_a_wrong_token_nothing_else_is_asked_of_the_vendor(project: Project) -> None:
    (project.home / "secrets" / "github-token").write_text("wrong-token-of-nobody")
    assert list(asked(project, "github")) == ["github.access"]


def test_a_secret_that_is_not_there_is_named_by_its_reference(project: Project) -> None:
    (project.home / "secrets" / "slack-token").unlink()
    found = asked(project, "chat")["chat.token"]
    assert found.outcome is Outcome.FAIL
    assert "file:secrets/slack-token" in found.summary
    assert "readable by you alone" in found.mend


#: What the vendor is told to lack, the finding, and what the mend names.
LACKING: tuple[tuple[str, dict[str, Any], str, str, str], ...] = (
    ("slack", {"scopes": ["chat:write", "channels:read"]}, "chat", "chat.token", "channels:history"),
    ("sentry", {"scopes": ["project:read", "org:read"]}, "errors", "errors.issues", "event:read"),
    ("datadog", {"rights": ["timeseries_query", "metrics_read"]}, "metrics", "metrics.monitors", "monitors_read"),
    ("datadog", {"rights": ["monitors_read"]}, "metrics", "metrics.app-key", "timeseries_query"),
)


@pytest.mark.parametrize(("vendor", "state", "system", "name", "right"), LACKING)
def test_a_right_that_a_token_lacks_is_named(
    project: Project, vendor: str, state: dict[str, Any], system: str, name: str, right: str
) -> None:
    project.box.vendors.state(vendor, **state)
    try:
        found = asked(project, system)[name]
    finally:
        project.box.vendors.state(vendor)
    assert found.outcome is Outcome.FAIL
    assert right in found.mend


def test_a_scanner_that_is_not_ours_to_read_is_named(project: Project) -> None:
    refused = {"dependabot/alerts": [403, "Resource not accessible by personal access token"]}
    project.box.vendors.state("github", refused=refused)
    try:
        found = asked(project, "github")
    finally:
        project.box.vendors.state("github")
    assert [name for name, result in found.items() if result.outcome is not Outcome.PASS] == ["github.dependabot"]
    assert "let github.token read its alerts" in found["github.dependabot"].mend


#: What is written into the settings, the system, the finding, and what its mend names.
WRONG_PLACES = (
    ('repository = "acme/shop"', 'repository = "acme/nothing"', "github", "github.access", "github.repository"),
    ('project = "shop"', 'project = "shoes"', "errors", "errors.project", "errors.project"),
    ('organization = "acme"', 'organization = "acne"', "errors", "errors.project", "errors.organization"),
    (r'project = "ac239[^"]*"', 'project = "nothing"', "platform", "platform.project", "platform.project"),
    (r'environment = "4f88[^"]*"', 'environment = "nothing"', "platform", "platform.project", "platform.environment"),
    (r'platform_service = "228e[^"]*"', 'platform_service = "x"', "platform", "platform.blue", "platform_service"),
    ('"PPOLICY"', '"PNOTHING"', "pager", "pager.policy", "pager.escalation_policy"),
    ('"PSERVIC"', '"PNOTHING"', "pager", "pager.service", "pager.service"),
    ('from = "deploykit@', 'from = "nobody@', "pager", "pager.sender", "pager.from"),
    ('deployments = "deployments"', 'deployments = "deploys"', "chat", "chat.channel.deploys", "#deploys"),
    (
        r'(?s)(\[flags\].*?)environment = "production"', r'\1environment = "staging"', "flags", "flags.token",
        "flags.environment",
    ),
    ('late = "500ms"', 'late = "500ms"\nruntime_prefix = "no.such"', "router", "router.weights", "runtime_prefix"),
    ("sum:shop.requests", "sum:shop.request", "metrics.queries", "metrics.queries", "deploykit.toml"),
    ('tags = \\["service:shop"', 'tags = ["service:shoes"', "metrics", "metrics.monitors", "monitoring.tags"),
    ("contains = '", "contains = 'not", "service", "service.url", "health.contains"),
    (r'name = "shop\.sandbox\.invalid"', 'name = "other.invalid"', "tls", "tls.other.invalid", "tls.hosts"),
    (r"/checkouts/\$release", "/nowhere/$release", "database", "database.alembic", "check the release out"),
    (r'\nca = "[^"]*"\n(?=\n\[flags)', "\n", "pager", "pager.policy", "authorities that this machine trusts"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "system", "name", "mend"), WRONG_PLACES, ids=[f"{p[3]}: {p[4]}" for p in WRONG_PLACES]
)
def test_a_wrong_place_is_named_with_what_to_mend(
    project: Project, old: str, new: str, system: str, name: str, mend: str
) -> None:
    replaced(project, old, new)
    found = asked(project, system)[name]
    assert not found.outcome.opens
    assert mend in found.mend


#: The section whose address leads nowhere, the system, and its first finding.
HOSTS = (
    ("github", "github", "github.access", "github.url"),
    ("metrics", "metrics", "metrics.api-key", "metrics.url"),
    ("chat", "chat", "chat.token", "chat.url"),
    ("errors", "errors", "errors.project", "errors.url"),
    ("pager", "pager", "pager.policy", "pager.url"),
    ("flags", "flags", "flags.token", "flags.url"),
    (r"environments\.production\.platform", "platform", "platform.project", "platform.url"),
    (r"environments\.production\.router", "router", "router.weights", "router.url"),
    (r"environments\.production\.colours\.blue", "service", "service.blue.health", ""),
)


@pytest.mark.parametrize(("section", "system", "name", "setting"), HOSTS)
def test_a_host_that_does_not_answer_is_an_error_with_its_setting(
    project: Project, section: str, system: str, name: str, setting: str
) -> None:
    replaced(project, rf"(\[{section}\]\nurl = \"https?://127\.0\.0\.1):\d+", rf"\1:{closed_port()}")
    found = asked(project, system)[name]
    assert found.outcome is Outcome.ERROR
    assert setting in found.mend


def test_a_database_that_does_not_answer_or_knows_another_password_is_told(project: Project) -> None:
    secret = project.home / "secrets" / "database-url"
    secret.write_text(f"postgresql://nobody:hush-hush@127.0.0.1:{closed_port()}/shop")
    found = asked(project, "database")
    assert found["database.url"].outcome is Outcome.ERROR
    assert "environments.NAME.database.url" in found["database.url"].mend
    assert found["database.scratch"].outcome is Outcome.PASS
    assert "hush-hush" not in str(found)


# --- this machine and the settings


def looked(project: Project, look: Callable[[settings_module.Settings], Iterator[Result]]) -> dict[str, Result]:
    return {result.item: result for result in look(settings_module.load(project.home / settings_module.FILE))}


def test_a_key_that_is_not_the_operators_is_told(project: Project) -> None:
    replaced(project, 'key = "keys/olga"', 'key = "keys/anna"')
    found = looked(project, machine.look)["signing.key"]
    assert found.outcome is Outcome.FAIL
    assert "anna@sandbox.invalid" in found.mend


def test_a_key_that_may_not_sign_for_deploykit_is_told(project: Project) -> None:
    signers = project.home / "allowed_signers"
    signers.write_text(signers.read_text().replace("deploykit-*", "git"))
    found = looked(project, machine.look)["signing.key"]
    assert found.outcome is Outcome.FAIL
    assert "deploykit-*" in found.mend


def test_an_archive_that_git_ignores_is_told(project: Project) -> None:
    import subprocess  # noqa: PLC0415 - for this test alone

    subprocess.run(["git", "init", "-q", str(project.home)], check=True)
    assert looked(project, machine.look)["archive.place"].outcome is Outcome.PASS
    (project.home / ".gitignore").write_text("/reports/\n")
    found = looked(project, machine.look)["archive.place"]
    assert found.outcome is Outcome.FAIL
    assert "outside of the checkout" in found.mend


def test_a_team_without_another_approver_is_told(project: Project) -> None:
    replaced(project, r'roles = \["approver"\]', "roles = []")
    assert "approver" in looked(project, team.look)["settings.people"].mend


def test_an_approver_without_a_key_is_told(project: Project) -> None:
    signers = project.home / "allowed_signers"
    signers.write_text(re.sub("(?m)^anna.*", "", signers.read_text()))
    found = looked(project, team.look)["settings.people"]
    assert found.outcome is Outcome.FAIL
    assert "anna@sandbox.invalid" in found.summary


def test_a_notebook_that_lost_an_item_or_its_gate_is_told(project: Project, tmp_path: Path) -> None:
    import shutil  # noqa: PLC0415 - for this test alone

    folder = tmp_path / "own"
    shutil.copytree(Path(__file__).parents[2] / "runbooks", folder)
    replaced(project, r'runbooks = "[^"]*"', f'runbooks = "{folder}"')
    notebook = folder / "03_blue_green.ipynb"
    text = notebook.read_text()
    notebook.write_text(text.replace("blue-green.smoke", "blue-green.smock"))
    found = looked(project, team.look)["settings.notebooks"]
    assert (found.outcome, "blue-green.smoke" in found.summary) == (Outcome.FAIL, True)
    notebook.write_text(text.replace("phase.gate()", "phase"))
    assert "no gate" in looked(project, team.look)["settings.notebooks"].summary


def test_a_section_that_is_not_set_is_shown_with_its_items_and_is_not_wrong(project: Project) -> None:
    replaced(project, r"(?s)\[environments\.production\.cors\].*?\n\n", "")
    replaced(project, r"(?s)\[left_out\].*", "")
    found = looked(project, team.look)["settings.environments.production.cors"]
    assert found.outcome is Outcome.LEFT_OUT
    assert "configuration.cors" in found.summary
    assert "[environments.production.cors]" in found.mend


def test_whose_store_it_is_and_what_waits_in_it_is_shown(box: Sandbox, project: Project) -> None:
    project.plan("v1.5.0", approved=False)
    settings = settings_module.load(project.home / settings_module.FILE)
    found = {result.item: result.outcome for result in machine.store(settings, ENVIRONMENT)}
    assert found == dict.fromkeys(
        ("store.folder/production", "store.host/production", "store.lock/production", "store.spool"), Outcome.PASS
    )


def test_broken_settings_are_exit_2_and_a_wrong_token_is_exit_1(project: Project) -> None:
    (project.home / "secrets" / "github-token").write_text("wrong-token-of-nobody")
    done = project.call("doctor")
    assert done.returncode == Exit.FAILED
    assert done.stdout.splitlines()[1].startswith("fail"), "the worst comes first"
    assert "→ look at the secret that github.token names" in done.stdout
    replaced(project, "timezone", "time_zone")
    assert project.call("doctor").returncode == Exit.USAGE


# --- the asking itself


def test_who_does_not_answer_in_time_keeps_nobody_waiting() -> None:
    import threading  # noqa: PLC0415 - for this test alone

    never = threading.Event()

    def slow() -> str:
        never.wait(60)
        return "late"

    looks = {
        "slow": lambda: answers([Question("slow.first", "", lambda: "here"), Question("slow.second", "", slow)]),
        "quick": lambda: answers([Question("quick", "", lambda: "here")]),
    }
    found = {result.item: result.outcome for result in side_by_side(looks, 0.3)}
    never.set()
    assert found == {"slow.first": Outcome.PASS, "quick": Outcome.PASS, "slow": Outcome.ERROR}


def test_a_question_that_breaks_is_an_error_and_the_next_is_asked() -> None:
    def broken() -> str:
        raise KeyError("nothing")

    found = list(answers([Question("broken", "", broken), Question("next", "", lambda: "here")]))
    assert [result.outcome for result in found] == [Outcome.ERROR, Outcome.PASS]
    assert "report it" in found[0].mend
