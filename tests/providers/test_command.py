"""A team's own programs as router and platform: what they answer, and all that may go wrong with a program."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deploykit import redact
from deploykit.errors import ProviderError, Rejected, Unreachable, UsageError
from deploykit.providers import connect
from deploykit.providers._commands import Commands
from deploykit.providers.command_platform import CommandPlatform
from deploykit.settings import Settings
from deploykit.settings.platform import CommandPlatformSettings
from tests.providers.adapters import COMMIT, TOKEN
from tests.providers.routers import command, command_settings, programs
from tests.providers.test_connect import settings

DOUBT = "Whether the change happened is not known"
NAMES = {"deployments": "$service", "variables": "$service", "roll_back": "$deployment", "restart": "$deployment"}
DEPLOYED = {
    "id": "d1",
    "commit": COMMIT,
    "state": "running",
    "created_at": "2026-11-23T03:10:00Z",
    "can_roll_back": True,
}
CALLS: dict[str, Callable[[CommandPlatform], object]] = {
    "deployments": lambda platform: platform.deployments("shop-blue"),
    "deploy": lambda platform: platform.deploy("shop-blue", COMMIT),
    "roll_back": lambda platform: platform.roll_back("d1"),
    "restart": lambda platform: platform.restart("d1"),
    "logs": lambda platform: platform.logs("d1"),
    "variables": lambda platform: platform.variables("shop-blue"),
}
CHANGES = {"deploy", "roll_back", "restart"}
every = pytest.mark.parametrize("name", CALLS)


def platform_settings(**replaced: object) -> CommandPlatformSettings:
    words: dict[str, object] = {name: ["./tool", name, place] for name, place in NAMES.items()}
    words |= {"deploy": ["./tool", "deploy", "$service", "$commit"], "logs": ["./tool", "logs", "$deployment"]}
    return CommandPlatformSettings.model_validate({"kind": "command", **words, **replaced})


class Team:
    """A platform that is one program, which does as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.does("exit 0")

    def does(self, script: str) -> Team:
        """Each run notes its arguments, one a line, and then does this."""
        program = self.folder / "tool"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> asked\necho . >> asked\n{script}\n')
        program.chmod(0o700)
        return self

    def answers(self, answer: Any) -> Team:
        (self.folder / "answer").write_text(answer if isinstance(answer, str) else json.dumps(answer))
        return self.does("cat answer")

    @property
    def asked(self) -> list[list[str]]:
        runs = (self.folder / "asked").read_text().removesuffix(".\n").split(".\n")
        return [run.splitlines() for run in runs]

    def platform(self, timeout: float = 10.0) -> CommandPlatform:
        return CommandPlatform(platform_settings(), Commands("platform", self.folder, timeout, {"KEY": TOKEN}))


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def test_deployments_are_read_newest_first_and_cut_to_the_limit(team: Team) -> None:
    older = {**DEPLOYED, "id": "d0", "state": "gone", "created_at": "2026-11-23T02:00:00", "can_roll_back": None}
    team.answers([older, {**DEPLOYED, "status": "UP", "changed": "t1"}])
    newest, old = team.platform().deployments("shop-blue")
    assert (newest.id, newest.commit, newest.state, newest.status, newest.changed) == (
        "d1", COMMIT, "running", "UP", "t1",
    )  # fmt: skip
    assert (old.status, old.can_roll_back, old.created_at) == ("gone", False, datetime(2026, 11, 23, 2, tzinfo=UTC))
    assert [one.id for one in team.platform().deployments("shop-blue", limit=1)] == ["d1"]
    assert team.asked[0] == ["deployments", "shop-blue"]


def test_changes_are_started_with_what_they_are_about(team: Team) -> None:
    platform = team.answers({"id": "d9"}).platform()
    assert platform.deploy("shop-blue", COMMIT) == "d9"
    platform.roll_back("d1")
    platform.restart("d2")
    assert team.asked == [["deploy", "shop-blue", COMMIT], ["roll_back", "d1"], ["restart", "d2"]]


def test_a_log_is_its_last_lines(team: Team) -> None:
    assert team.answers(["first", "second", "third"]).platform().logs("d1", limit=2) == ("second", "third")


def test_the_values_of_variables_are_masked(team: Team) -> None:
    assert team.answers({"KEY": "hunter2-hunter2"}).platform().variables("shop-blue") == {"KEY": "hunter2-hunter2"}
    assert redact.text("a hunter2-hunter2 b") == f"a {redact.MASK} b"


@pytest.mark.parametrize(
    "script", ["echo hunter2-hunter2", 'echo \'{"KEY": ["hunter2-hunter2"]}\'', "echo hunter2-hunter2 >&2; exit 1"]
)
def test_an_answer_of_no_use_does_not_spill_its_secrets(team: Team, script: str) -> None:
    with pytest.raises(ProviderError) as caught:
        team.does(script).platform().variables("shop-blue")
    assert "hunter2" not in str(caught.value)


def test_a_secret_is_in_the_environment_and_on_no_command_line(team: Team) -> None:
    team.does('test "$KEY" = "' + TOKEN + '" && cat /proc/$$/cmdline >> asked; echo "[]"').platform().logs("d1")
    assert TOKEN not in (team.folder / "asked").read_text()


def test_words_are_words_whatever_they_hold(team: Team) -> None:
    hostile = "shop blue; touch x $(id) `id` 'a' \"b\" *"
    team.answers([]).platform().deployments(hostile)
    assert team.asked == [["deployments", hostile]]


@pytest.mark.parametrize("wrong", ["-rf", "--help", "", "a\nb", "a\x00b", " a"])
def test_what_would_pass_for_an_option_or_is_no_word_is_not_given_to_a_program(team: Team, wrong: str) -> None:
    with pytest.raises(Rejected, match="cannot be given to a program"):
        team.platform().restart(wrong)
    assert not (team.folder / "asked").exists()


@every
def test_a_program_that_says_no_is_rejected_in_its_words(team: Team, name: str) -> None:
    team.does('echo \'{"refused": "it is \\u001b[31mfrozen\\u202e"}\'; exit 3')
    with pytest.raises(Rejected, match="it said no" if name != "variables" else "withheld") as caught:
        CALLS[name](team.platform())
    assert DOUBT not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)


@every
def test_a_program_that_ends_otherwise_is_unreachable_and_a_change_is_in_doubt(team: Team, name: str) -> None:
    team.does("echo half; echo first >&2; echo the last word >&2; exit 7")
    with pytest.raises(Unreachable, match="it ended with 7") as caught:
        CALLS[name](team.platform())
    assert (DOUBT in str(caught.value)) is (name in CHANGES)
    assert ("the last word" in str(caught.value)) is (name != "variables")
    assert len(team.asked) == 1
    assert f"platform.{name}" in caught.value.mend


@every
def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(team: Team, name: str) -> None:
    team.does("sleep 60 & echo $! > child; wait")
    with pytest.raises(Unreachable, match=r"no answer within 0\.3 s") as caught:
        CALLS[name](team.platform(0.3))
    assert (DOUBT in str(caught.value)) is (name in CHANGES)
    child, deadline = int((team.folder / "child").read_text()), time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < deadline, "what it started goes on"
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or ") Z " not in state.read_text()


@every
def test_a_program_that_is_not_there_or_may_not_run_changes_nothing(team: Team, name: str) -> None:
    (team.folder / "tool").chmod(0o600)
    with pytest.raises(Rejected, match="cannot be started: Permission denied") as caught:
        CALLS[name](team.platform())
    assert "tool is there" in caught.value.mend
    (team.folder / "tool").unlink()
    with pytest.raises(Rejected, match="cannot be started: No such file"):
        CALLS[name](team.platform())


@pytest.mark.parametrize("answer", ["", "{", "null", "7", '"x"', '{"a": 1}', '["a", 7]', "[{}]", "NaN"])
@pytest.mark.parametrize("name", ["deployments", "logs", "variables", "deploy"])
def test_an_answer_of_no_use_is_no_answer(team: Team, name: str, answer: str) -> None:
    if (name, answer) == ("logs", '["a", 7]'):
        answer = "[7]"
    with pytest.raises(Unreachable if name in CHANGES else Rejected):
        CALLS[name](team.answers(answer).platform())


@pytest.mark.parametrize("key", ["id", "state", "created_at"])
@pytest.mark.parametrize("value", [None, "", 7, "x"])
def test_a_deployment_that_lacks_something_is_none(team: Team, key: str, value: object) -> None:
    if (key, value) == ("id", "x"):
        return
    with pytest.raises(Rejected):
        team.answers([{**DEPLOYED, key: value}]).platform().deployments("shop-blue")


def test_the_doctor_is_told_which_programs_are_missing(team: Team) -> None:
    assert team.platform().questions()["project"]() == "1 programs"
    (team.folder / "tool").unlink()
    with pytest.raises(Rejected, match=r"no program that may be executed: \./tool"):
        team.platform().questions()["project"]()


# --- as the router


@pytest.mark.parametrize(
    "answer",
    ['{"blue": 10}', '{"blue": 10, "green": 90, "red": 0}', '{"blue": "10", "green": 90}', '{"blue": true, "green": 0}',
     '{"blue": -1, "green": 1}', '{"blue": 0.5, "green": 1}', "[]", "10 90"],
)  # fmt: skip
def test_weights_and_counts_are_whole_numbers_of_both_colours(tmp_path: Path, answer: str) -> None:
    programs(tmp_path)
    (tmp_path / "counts").write_text(answer)
    with pytest.raises(Rejected):
        command(tmp_path).counts()


def test_a_program_that_accepts_and_does_not_apply_is_rejected(tmp_path: Path) -> None:
    programs(tmp_path)
    router = command(tmp_path, set_weights=["true", "$blue", "$green"], stop=["true"])
    with pytest.raises(Rejected, match="does not apply them: in force are blue 0, green 100"):
        router.set_weights({"blue": 10, "green": 90})
    with pytest.raises(Rejected, match="ended well, and nothing changed"):
        router.stop()


def test_a_change_that_cannot_be_read_back_is_in_doubt(tmp_path: Path) -> None:
    programs(tmp_path)
    for wrong in (["false"], ["true"]):
        with pytest.raises(Unreachable, match=DOUBT):
            command(tmp_path, weights=wrong).set_weights({"blue": 10, "green": 90})
        with pytest.raises(Unreachable, match=DOUBT):
            command(tmp_path, stopped=wrong).stop()


# --- in the settings


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("set_weights", ["./traffic", "set", "$blue"]),
        ("set_weights", ["./traffic", "$blue", "$green", "$red"]),
        ("weights", ["./traffic", "$blue"]),
        ("weights", ["$blue"]),
        ("weights", []),
        ("weights", [""]),
        ("weights", "./traffic weights"),
    ],
)
def test_a_command_without_its_places_is_refused_before_anything_runs(key: str, words: object) -> None:
    with pytest.raises(ValidationError):
        command_settings(**{key: words})


def test_both_are_found_by_their_kind_with_their_secrets(
    world_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = world_settings()
    monkeypatch.delenv("TRAFFIC_KEY", raising=False)
    ports = connect(settings, settings.environment("production"))
    with pytest.raises(UsageError, match="env:TRAFFIC_KEY"):
        _ = ports.router
    monkeypatch.setenv("TRAFFIC_KEY", "secret-of-traffic")
    assert type(ports.router).__name__ == "CommandRouter"
    assert type(ports.platform).__name__ == "CommandPlatform"
    assert redact.text("secret-of-traffic") == redact.MASK


@pytest.fixture
def world_settings() -> Callable[..., Settings]:
    def made() -> Settings:
        known = settings()
        router = command_settings(environment={"TRAFFIC_KEY": "env:TRAFFIC_KEY"})
        production = known.environments["production"].model_copy(
            update={"router": router, "platform": platform_settings()}
        )
        return known.model_copy(update={"environments": {"production": production}})

    return made
