"""What a database holds and does: revision, rows, schema, statistics."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
from psycopg import sql

from deploykit.errors import Rejected
from deploykit.ports.database import Contents, Statement, Statistics
from deploykit.providers.postgres.programs import Programs
from deploykit.providers.postgres.sessions import Session, session

VERSIONS = "alembic_version"
#: Statements that are kept of the statistics: those that took most time.
MOST = 200
_TABLES = """
SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%' AND c.relname <> %s
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY 1, 2
"""
_STATEMENTS = """
SELECT s.queryid::text, s.query, sum(s.calls)::bigint, sum(s.total_exec_time)::float8 FROM pg_stat_statements s
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.queryid IS NOT NULL
GROUP BY 1, 2 ORDER BY 4 DESC LIMIT %s
"""
_HEADER = re.compile(r"-- (?:Data for )?Name: (.*); Type: (.*); Schema: (.*); Owner: .*")
_NOISE = ("--", "SET ", "\\restrict", "\\unrestrict", "SELECT pg_catalog.set_config")


def revision(connection: Session) -> str:
    """The revision that Alembic's table holds; empty where there is no table, or nothing in it."""
    try:
        rows = connection.execute(sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(VERSIONS))).fetchall()
    except psycopg.errors.UndefinedTable:
        return ""
    if len(rows) > 1:
        raise Rejected("the database is at several revisions at once", where=VERSIONS, mend="merge its branches")
    return str(rows[0][0]) if rows else ""


def contents(conninfo: str, programs: Programs, dump: Path | None = None) -> Contents:
    """What a database holds, counted and read in one snapshot, which is dumped as well where a path is given."""
    with session(conninfo, programs.deadline) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = connection.execute("SELECT pg_export_snapshot()").fetchone()
        snapshot = f"--snapshot={found[0] if found else ''}"
        names = connection.execute(_TABLES, (VERSIONS,)).fetchall()
        counted = {f"{schema}.{table}": _count(connection, str(schema), str(table)) for schema, table in names}
        # Asked first, since a query of a table that is not there would end the transaction.
        known = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (VERSIONS,)).fetchone()
        at = revision(connection) if known and known[0] else ""
        plain = ["--no-owner", "--no-privileges", "--schema-only", snapshot]
        mend = "give the role of environments.NAME.database.url the right to read everything"
        text = programs.must([programs.find("pg_dump"), *plain], conninfo=conninfo, mend=mend)
        if dump:
            whole = ["--format=custom", f"--file={dump}", snapshot]
            programs.must([programs.find("pg_dump"), *whole], conninfo=conninfo, mend=mend)
    return Contents(at, counted, schema_lines(text))


def _count(connection: Session, schema: str, table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(sql.Identifier(schema, table))).fetchone()
    return int(str(row[0])) if row else 0


def schema_lines(text: str) -> tuple[str, ...]:
    """A dump's definitions, each with what it belongs to, in an order that depends on nothing but them.

    The columns of a table are a line each: where one stands among the others is not part of the schema, since what
    takes a dropped column back can only put it last.
    """
    found, place, kept = [], "", list[str]()
    for line in [*text.splitlines(), "-- Name: end; Type: END; Schema: -; Owner: -"]:
        header = _HEADER.fullmatch(line)
        if header:
            found += _entry(place, kept)
            name, kind, schema = header.groups()
            ours = name.split(" ")[0] == VERSIONS
            place, kept = "" if ours else f"{kind} {schema}.{name}", []
        elif line.strip() and not line.startswith(_NOISE):
            kept.append(line)
    return tuple(sorted(found))


def _entry(place: str, lines: list[str]) -> list[str]:
    if not place:
        return []
    if place.startswith("TABLE "):
        return [f"{place} | {_plain(line.strip().removesuffix(','))}" for line in lines if line.strip() != ");"]
    return [f"{place} | " + _plain("\n".join(lines))] if lines else []


def _plain(definition: str) -> str:
    """A list of texts is written in another way once it was restored; without casts and brackets it is the same."""
    return re.sub(r"::[a-z ]+(\[\])?|[()]", "", definition) if "= ANY (" in definition else definition


def statistics(connection: Session) -> Statistics:
    """What the statements of this database took, as `pg_stat_statements` has it.

    Raises:
        Rejected: The extension is not there, or not loaded.
    """
    try:
        info = connection.execute("SELECT stats_reset::text FROM pg_stat_statements_info").fetchone()
        rows = connection.execute(_STATEMENTS, (MOST,)).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.ObjectNotInPrerequisiteState) as error:
        mend = "load it with shared_preload_libraries, and CREATE EXTENSION pg_stat_statements"
        raise Rejected("pg_stat_statements is not there", where="PostgreSQL", mend=mend) from error
    kept = tuple(Statement(str(i), str(q), int(str(n)), float(str(ms))) for i, q, n, ms in rows)
    return Statistics(str(info[0]) if info else "", kept)
