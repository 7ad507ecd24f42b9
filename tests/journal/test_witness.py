"""Those outside who know the journal: told after what matters, read back from wherever their words stand."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.errors import BrokenRecordError, UsageError
from deploykit.journal import witness
from deploykit.journal.chain import follow
from deploykit.journal.events import Event, Head, Type
from deploykit.model import sha256
from deploykit.run import Run
from tests.world import World


def git(repository: Path, *arguments: str) -> str:
    own = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    command = ["git", "-C", str(repository), *own, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "witness"
    path.mkdir()
    git(path, "init", "--quiet")
    git(path, "commit", "--quiet", "--allow-empty", "--message", "first")
    return path


def with_witness(world: World, **settings: object) -> Run:
    lines = "".join(f'{key} = "{value}"\n' for key, value in settings.items())
    world.edit("[signing]", f"[witness]\n{lines}[signing]")
    return world.plan(approved=False)


WORTH = [Type.PHASE_ENDED, Type.TRAFFIC_RETURNED, Type.RUN_ENDED, Type.RUN_SEALED]
SAID = {"result": "passed", "status": "done", "reason": "errors"}


def test_a_file_grows_by_a_line_for_each_event_that_is_worth_it(world: World, tmp_path: Path) -> None:
    run = with_witness(world, file=tmp_path / "heads.txt")
    for kind in [Type.NOTE_WRITTEN, *WORTH]:
        run.append(kind, item="blue-green", data=dict(SAID))
    told = witness.read(str(tmp_path / "heads.txt"), run.id)
    events = {event.seq: event for event in world.events()}
    assert [events[head.seq].type for head in told] == [Type.RUN_OPENED, *WORTH]
    assert all(events[head.seq].hash == head.hash for head in told)
    given = world.said(Type.WITNESS_GIVEN)
    assert [event.data for event in given] == [{**head.model_dump(), "place": "file heads.txt"} for head in told]


def test_a_tag_says_a_head_and_can_be_pushed_at_once(world: World, repository: Path, tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    git(far, "init", "--quiet", "--bare")
    git(repository, "remote", "add", "origin", str(far))
    git(repository, "config", "tag.gpgSign", "true")
    run = with_witness(world, git=repository, remote="origin")
    (told,) = witness.read(str(repository), run.id)
    assert told == world.events()[0].head
    assert witness.read(str(far), run.id) == (told,)
    assert world.said(Type.WITNESS_GIVEN)[0].data["place"] == f"git tag deploykit/{run.id}/1 on origin"


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"file": "no/such/folder/heads.txt"}, "heads.txt: No such file"), ({"git": "no-repository"}, "git: ")],
)
def test_a_witness_that_cannot_be_told_stops_nothing_and_is_named(
    world: World, settings: dict[str, str], why: str
) -> None:
    run = with_witness(world, **settings)
    run.append(Type.TRAFFIC_RETURNED, data={"reason": "errors"})
    first, second = world.said(Type.NOTE_WRITTEN)
    assert str(first.data["text"]).startswith(f"a witness was not told of event 1: {why}")
    assert "not told of event 3" in str(second.data["text"])
    assert world.said(Type.WITNESS_GIVEN) == []


def test_heads_are_found_in_any_text_and_only_those_of_the_run(world: World) -> None:
    run = world.plan(approved=False)
    event = run.append(Type.NOTE_WRITTEN)
    exported = json.dumps({"messages": [{"text": f"It is on.\n{witness.sentence(event)}", "ts": "1.0"}]})
    for text in (witness.sentence(event), exported, f"> {witness.sentence(event)} <", exported * 2):
        assert witness.heads(text, run.id) == (event.head,)
    assert witness.heads(witness.sentence(event), "another-run") == ()
    assert witness.heads(f"deploykit {run.id} event 0 sha256 {'0' * 64}", run.id) == ()


@pytest.mark.parametrize("source", ["nothing of it", "heads.bin"])
def test_a_witness_who_knows_nothing_is_a_mistake_and_never_a_proof(tmp_path: Path, source: str) -> None:
    (tmp_path / "heads.bin").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError):
        witness.read(str(tmp_path / source) if source.endswith("bin") else source, "a-run")
    with pytest.raises(UsageError, match="git: "):
        witness.read(str(tmp_path), "a-run")


@given(st.text(max_size=200), st.integers(1, 10**6), st.binary(min_size=1, max_size=8))
def test_a_head_survives_any_words_around_it(words: str, seq: int, data: bytes) -> None:
    digest = sha256(data)
    said = f"{words} deploykit r-7f3a event {seq} sha256 {digest} {words}"
    assert Head(seq=seq, hash=digest) in witness.heads(said, "r-7f3a")


# --- an export that was tampered with


@pytest.fixture(scope="module")
def journal() -> tuple[bytes, ...]:
    """The archived example: a real journal of a rolled back run."""
    (path,) = Path(__file__).parents[2].glob("reports/example/*/journal.jsonl")
    return tuple(path.read_bytes().splitlines())


def holds(lines: tuple[bytes, ...], after: Event | None, head: str) -> bool:
    """Whether the lines follow, and end where the witness says."""
    try:
        return list(follow(lines, after=after))[-1].hash == head
    except BrokenRecordError:
        return False


def test_each_byte_of_a_journal_that_is_flipped_is_found(journal: tuple[bytes, ...]) -> None:
    """What follows a line does not change, so each flip is looked at with the one line after it."""
    events = list(follow(journal))
    before: Event | None = None
    flipped = 0
    for place, event in enumerate(events):
        following = events[place + 1 : place + 2]
        head = (following or [event])[-1].hash
        rest = tuple(each.line for each in following)
        assert holds((event.line, *rest), before, head)
        for at in range(len(event.line)):
            changed = bytes([*event.line[:at], event.line[at] ^ (1 << at % 8), *event.line[at + 1 :]])
            assert not holds((changed, *rest), before, head), (place, at)
            flipped += 1
        before = event
    assert flipped == sum(map(len, journal)) > 10_000


@pytest.mark.parametrize("place", range(0, 40, 3))
def test_events_that_were_dropped_doubled_or_exchanged_are_found(journal: tuple[bytes, ...], place: int) -> None:
    head = Event.parse(journal[-1]).hash
    place %= len(journal) - 2
    assert holds(journal, None, head)
    assert not holds(journal[:place] + journal[place + 1 :], None, head)
    assert not holds(journal[: place + 1] + journal[place:], None, head)
    assert not holds((*journal[:place], journal[place + 1], journal[place], *journal[place + 2 :]), None, head)


def test_every_cut_tail_is_found_by_the_witness_alone(journal: tuple[bytes, ...]) -> None:
    head = Event.parse(journal[-1]).hash
    for length in range(1, len(journal)):
        cut = journal[:length]
        assert len(list(follow(cut))) == length, "by itself it holds"
        assert not holds(cut, None, head)
