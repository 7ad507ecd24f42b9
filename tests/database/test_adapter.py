"""What is PostgreSQL's alone: secrets, names that bite, checkouts, and never production by mistake."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from deploykit import redact
from deploykit.errors import DeploykitError, Rejected, Unreachable, UsageError
from deploykit.ports.database import BEGIN, COMMIT, one_transaction
from deploykit.providers.postgres import connect, releases, sessions, swapping
from deploykit.providers.postgres.programs import Programs
from deploykit.providers.postgres.reading import schema_lines
from tests.database.shop import COMMIT as RELEASE
from tests.database.shop import LIMITS, Migration, Shop
from tests.world import World

PASSWORD = "s3cr3t-p4ss'w ord"
BITES = "a\"b'; DROP TABLE orders; -- \\! %s"


# --- secrets


def test_a_password_is_in_no_argument_and_in_no_error(shop: Shop, tmp_path: Path) -> None:
    spy = tmp_path / "programs"
    spy.mkdir()
    for program in ("pg_dump", "pg_restore"):
        (spy / program).write_text(f'#!/bin/sh\necho "$0 $@" >> {tmp_path}/argv\nexec {shop.programs}/{program} "$@"\n')
        (spy / program).chmod(0o755)
    dsn, server = (sessions.check(make_conninfo(each, password=PASSWORD), "x") for each in (shop.dsn, shop.server))
    adapter = shop.adapter(conninfo=dsn, server=server, programs=Programs(spy, 60.0))
    with adapter.scratch(adapter.back_up("first")) as copy:
        copy.contents()
    argv = (tmp_path / "argv").read_text()
    assert argv.count("pg_dump") == 3
    assert argv.count("pg_restore") == 2
    assert "p4ss" not in argv
    assert redact.text(f"said {PASSWORD}") == f"said {redact.MASK}"
    with pytest.raises(Unreachable) as caught:
        shop.adapter(conninfo=make_conninfo(dsn, host=str(tmp_path))).revision()
    assert "p4ss" not in str(caught.value)


def test_an_error_of_a_program_is_masked(shop: Shop, tmp_path: Path) -> None:
    redact.learn(PASSWORD)
    (tmp_path / "pg_restore").write_text(f'#!/bin/sh\necho "cannot: {PASSWORD}" >&2\nexit 1\n')
    (tmp_path / "pg_restore").chmod(0o755)
    with pytest.raises(Rejected) as caught:
        Programs(tmp_path, 5.0).must([str(tmp_path / "pg_restore")], mend="x")
    assert caught.value.what == f"cannot: {redact.MASK}"


def test_an_address_that_is_none_is_not_repeated(team: World) -> None:
    (team.home / "secrets" / "database").write_text("postgres//shop:hunter2-hunter2@host")
    settings = team.settings()
    with pytest.raises(UsageError) as caught:
        connect(settings, settings.environment("production"))
    assert "file:secrets/database" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_migration_is_given_no_secret_and_no_address(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "t0ken-t0ken")
    monkeypatch.setenv("DATABASE_URL", "postgresql://production")
    env = shop.checkout / "migrations" / "env.py"
    env.write_text("import os\nraise RuntimeError(sorted(os.environ), os.environ['DATABASE_URL'])\n")
    with pytest.raises(Rejected, match=r"nobody@offline\.invalid") as caught:
        shop.adapter().release("v2", RELEASE)
    assert "SHOP_TOKEN" not in str(caught.value)


# --- never production


def test_production_is_not_restored_over_by_whatever_way_it_is_reached(shop: Shop) -> None:
    other_way = make_conninfo(shop.dsn, application_name="another", host=shop.dsn.split("host=")[1].split()[0] + "/.")
    with pytest.raises(Rejected, match="that is production itself"):
        swapping.require_other(other_way, shop.dsn, 5.0)
    swapping.require_other(shop.server, shop.dsn, 5.0)


def test_a_scratch_database_is_dropped_when_its_use_breaks_off(shop: Shop) -> None:
    backup = shop.adapter().back_up("first")
    with pytest.raises(ZeroDivisionError), shop.adapter().scratch(backup):
        _ = 1 / 0
    names = [name for (name,) in shop.ask("SELECT datname::text FROM pg_database")]
    assert not [name for name in names if name.startswith(swapping.SCRATCH)]


def test_a_restore_that_does_not_hold_what_was_noted_leaves_production(shop: Shop) -> None:
    backup = shop.adapter().back_up("first")
    assert backup.contents
    wrong = replace(backup, contents=replace(backup.contents, tables={"public.orders": 8}))
    with pytest.raises(Rejected, match="not what the backup held"):
        shop.adapter().restore(wrong, "before_1")
    names = [name for (name,) in shop.ask("SELECT datname::text FROM pg_database")]
    assert "before_1" not in names
    assert "before_1_new" not in names


def test_what_belongs_to_the_database_itself_comes_along(shop: Shop) -> None:
    role = f"reader_{shop.adapter().conninfo.split('dbname=')[1].split()[0]}"
    shop.ask(f"CREATE ROLE {role}")
    name = role.removeprefix("reader_")
    for command in (
        f"ALTER DATABASE {name} SET work_mem TO '9MB'",
        f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {name} TO {role}",
    ):
        shop.ask(command)
    rights = "SELECT datacl::text, datdba FROM pg_database WHERE datname = current_database()"
    before = shop.ask(rights)
    aside = f"before_{name}"
    shop.adapter().restore(shop.adapter().back_up("first"), aside)
    assert shop.ask("SHOW work_mem") == [("9MB",)]
    assert sorted(before[0][0].strip("{}").split(",")) == sorted(shop.ask(rights)[0][0].strip("{}").split(","))
    shop.ask(f"DROP DATABASE {aside}")
    shop.ask(f"REVOKE ALL ON DATABASE {name} FROM {role}")
    shop.ask(f"DROP ROLE {role}")


# --- names and words that bite


def test_names_and_comments_that_bite_are_only_names(shop: Shop) -> None:
    quoted = BITES.replace('"', '""')
    shop.ask(f'CREATE SCHEMA "{quoted}"')
    shop.ask(f'CREATE TABLE "{quoted}"."{quoted}" (id int, "{quoted}" text)')
    shop.ask(f'INSERT INTO "{quoted}"."{quoted}" VALUES (1, NULL)')  # noqa: S608 - that is the point
    header = "-- Name: orders; Type: TABLE; Schema: public; Owner: x"
    shop.ask(f'COMMENT ON TABLE "{quoted}"."{quoted}" IS $x$\n{header}\n$x$')
    backup = shop.adapter().back_up("first")
    assert backup.contents
    assert backup.contents.tables[f"{BITES}.{BITES}"] == 1
    with shop.adapter().scratch(backup) as copy:
        assert copy.contents() == backup.contents


def test_a_revision_with_a_name_that_bites_is_refused(shop: Shop) -> None:
    shop.check_out(Migration("x'; SELECT 1", ["SELECT 1"]))
    with pytest.raises(Rejected, match="letters, digits, dots and underscores"):
        shop.adapter().release("v2", RELEASE)


def test_a_comment_that_bites_is_applied_as_it_is(shop: Shop) -> None:
    said = f"-- Running x -> y\n{BITES}"
    shop.check_out(Migration("0002", [f"COMMENT ON TABLE orders IS $q${said}$q$"], title=BITES))
    (revision,) = shop.adapter().release("v2", RELEASE).revisions
    shop.adapter().lint((revision,))
    shop.adapter().upgrade(revision)
    assert shop.ask("SELECT obj_description('orders'::regclass)") == [(said,)]


def test_a_list_of_texts_is_the_same_schema_after_it_was_restored(shop: Shop) -> None:
    shop.ask("ALTER TABLE products ADD kind varchar(9) CHECK (kind IN ('a', 'b'))")
    shop.ask("CREATE INDEX few ON products (id) WHERE kind IN ('a', 'b')")
    backup = shop.adapter().back_up("first")
    with shop.adapter().scratch(backup) as copy:
        assert copy.contents() == backup.contents


def test_where_a_column_stands_is_not_part_of_a_schema_but_what_it_is() -> None:
    head = "-- Name: t; Type: TABLE; Schema: public; Owner: -\n--\n"
    one, other, third = (
        f"{head}CREATE TABLE public.t (\n    {a},\n    {b}\n);\n"
        for a, b in (("a text", "b text"), ("b text", "a text"), ("a text", "b integer"))
    )
    assert schema_lines(one) == schema_lines(other) != schema_lines(third)


@given(st.lists(st.sampled_from([BEGIN, COMMIT, "SELECT 1"]), max_size=6))
def test_one_transaction_has_one_beginning_and_one_end(statements: list[str]) -> None:
    made = tuple(statements)
    expected = made[:1] == (BEGIN,) and made[-1:] == (COMMIT,) and made.count(BEGIN) == made.count(COMMIT) == 1
    assert one_transaction(made) is expected


# --- programs and checkouts


def test_a_program_that_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"did not end within 0\.2 s"):
        Programs(None, 0.2).run([sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_program_that_is_missing_is_named_with_its_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="pg_dumb is missing") as caught:
        Programs(tmp_path, 1.0).find("pg_dumb")
    assert "squawk-cli" in caught.value.mend


def test_a_work_tree_of_git_proves_its_commit_and_a_changed_one_nothing(shop: Shop) -> None:
    (shop.checkout / "REVISION").unlink()
    git = ["git", "-C", str(shop.checkout), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert shop.adapter().release("v2", head).commit == head
    with pytest.raises(Rejected, match=f"is a checkout of {head}"):
        shop.adapter().release("v2", RELEASE)
    (shop.checkout / "migrations" / "env.py").write_text("")
    with pytest.raises(Rejected, match="not as committed"):
        releases.commit_of(shop.checkout / "alembic.ini", shop.adapter().programs)


def test_the_team_may_name_an_interpreter_and_is_told_when_it_lacks_alembic(shop: Shop, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho No module named alembic >&2\nexit 1\n")
    bare.chmod(0o755)
    with pytest.raises(Rejected, match="No module named alembic") as caught:
        shop.adapter(python=bare).release("v2", RELEASE)
    assert "database.python" in caught.value.mend


def test_a_server_that_says_no_is_not_one_that_does_not_answer(shop: Shop) -> None:
    with pytest.raises(DeploykitError, match="does not exist"):
        shop.adapter(conninfo=make_conninfo(shop.dsn, dbname="nowhere")).revision()
    shop.ask("CREATE ROLE nobody_here LOGIN")
    stranger = shop.adapter(conninfo=make_conninfo(shop.dsn, user="nobody_here"))
    with pytest.raises(Rejected, match="permission denied"):
        stranger.contents()
    shop.ask("DROP ROLE nobody_here")


def test_several_revisions_at_once_are_no_place_to_start_from(shop: Shop) -> None:
    shop.ask("INSERT INTO alembic_version VALUES ('0001b')")
    with pytest.raises(Rejected, match="several revisions at once"):
        shop.adapter().revision()


def test_a_database_without_any_migration_is_at_none(shop: Shop) -> None:
    shop.ask("DROP TABLE alembic_version, orders, products")
    assert shop.adapter().revision() == ""
    brought = shop.adapter().release("v2", RELEASE)
    assert [(each.before, each.id) for each in brought.revisions] == [("", "0001"), ("0001", "0002")]
    for revision in brought.revisions:
        shop.adapter().upgrade(revision)
    assert shop.adapter().contents().tables == {"public.orders": 500, "public.products": 50}, "what the first brings"
    for revision in reversed(brought.revisions):
        shop.adapter().downgrade(revision)
    assert shop.adapter().contents().schema == tuple(
        line for line in shop.adapter().contents().schema if "EXTENSION" in line
    )


def test_settings_say_what_an_adapter_is_made_of(team: World, shop: Shop) -> None:
    settings = team.settings()
    made = connect(settings, settings.environment("production"))
    assert (made.limits, made.folder) == (replace(LIMITS, statement=60.0), shop.backups)
    team.edit("retries = 2", "retires = 2")
    with pytest.raises(UsageError, match=r"environments\.production\.database\.retires: unknown key"):
        team.settings()
