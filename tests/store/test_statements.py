"""What is a statement and what is data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chdb_http import statements


@pytest.mark.parametrize(
    ("sql", "head", "row_format", "rest"),
    [
        ("INSERT INTO t FORMAT CSV\n1", "INSERT INTO t", "CSV", "1"),
        ("insert into d.t (a, b) format TSV\r\n1", "insert into d.t (a, b)", "TSV", "1"),
        ("INSERT INTO t (format) FORMAT CSV 1", "INSERT INTO t (format)", "CSV", "1"),
        ("-- select\n/* format */ INSERT INTO t FORMAT CSV", None, "CSV", ""),
        ("INSERT INTO t FORMAT Native\n\n\x00", "INSERT INTO t", "Native", "\n\x00"),
        ("INSERT INTO t VALUES", "INSERT INTO t", "Values", ""),
        ("INSERT INTO `my format` FORMAT CSV\n", None, "CSV", ""),
    ],
)  # fmt: skip
def test_the_data_begins_after_the_format(
    sql: str, head: str | None, row_format: str, rest: str
) -> None:
    found = statements.data_insert(sql)
    if sql.startswith("INSERT INTO `my format`"):
        assert found is None  # run as it is, rows and all
        return
    assert found is not None
    insert, begins = found
    assert (insert.format, sql[begins:]) == (row_format, rest)
    assert head in (None, insert.head)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FORMAT CSV", "INSERT INTO t SELECT 1 FORMAT CSV", "INSERT INTO t VALUES (1)",
        "INSERT INTO t WITH 1 AS x SELECT x", "ALTER TABLE t UPDATE a = 1 WHERE 1", "",
    ],
)  # fmt: skip
def test_other_statements_have_no_data(sql: str) -> None:
    assert statements.data_insert(sql) is None


def test_the_settings_of_an_insert_stay_behind_its_source() -> None:
    found = statements.data_insert("INSERT INTO t SETTINGS max_threads = 1 FORMAT CSV\n")
    assert found is not None
    assert found[0].from_file("/x'y", "gzip") == (
        "INSERT INTO t FROM INFILE '/x\\'y' COMPRESSION 'gzip' SETTINGS max_threads = 1 FORMAT CSV"
    )


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", "TSV"), ("SELECT 1 FORMAT JSON;", "JSON"), ("SELECT 1 format csv\n", "csv"),
        ("SELECT format('{}', 'a')", "TSV"), ("SELECT 1 FORMAT JSON SETTINGS a = 1", "JSON"),
    ],
)  # fmt: skip
def test_the_last_format_names_the_output(sql: str, expected: str) -> None:
    assert statements.output_format(sql, "TSV") == expected


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("select 1", "SELECT"), (" ( SELECT 1)", "SELECT"), ("-- a\n/* b */ ALTER x", "ALTER"),
        ("", ""), ("42", ""), (" " * 10_000 + "42", ""), ("/*" * 5_000 + "SELECT", ""),
    ],
)  # fmt: skip
def test_the_first_word_is_the_verb(sql: str, word: str) -> None:
    assert statements.first_word(sql) == word


def test_only_the_plain_form_of_kill_is_answered_here() -> None:
    assert statements.killed_query("KILL QUERY WHERE query_id = 'a-1' SYNC;") == "a-1"
    assert statements.killed_query("kill query where query_id='a'") == "a"
    assert statements.killed_query("KILL QUERY WHERE query_id = 'a' OR 1 SYNC") is None
    assert statements.killed_query("SELECT 'KILL QUERY'") is None


@given(st.text())
def test_a_quoted_text_ends_where_it_should(text: str) -> None:
    quoted = statements.quoted(text)
    assert quoted[0] == quoted[-1] == "'"
    inner = quoted[1:-1].replace("\\\\", "").replace("\\'", "")
    assert "'" not in inner
    assert not inner.endswith("\\")


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        ("UPDATE t SET a = 1", "UPDATE t SET a = 1\nWHERE true"),
        ("update t set a = 1 ;", "update t set a = 1 \nWHERE true;"),
        (
            "-- all\nUPDATE t SET a = 1; -- where",
            "-- all\nUPDATE t SET a = 1\nWHERE true; -- where",
        ),
        ("UPDATE t SET a = 'where; it''s'", "UPDATE t SET a = 'where; it''s'\nWHERE true"),
        ("UPDATE t SET a = 1 -- all", "UPDATE t SET a = 1\nWHERE true -- all"),
        ("UPDATE t SET a = 1\nwhere b = 2;", None),
        ("UPDATE t SET a = 1; SELECT 1", None),
        ("ALTER TABLE t UPDATE a = 1", None),
        ("SELECT 'UPDATE t SET a = 1'", None),
    ],
)
def test_an_update_without_a_condition_is_of_every_row(sql: str, sent: str | None) -> None:
    assert statements.with_where(sql) == (sql if sent is None else sent)


@pytest.mark.parametrize(
    ("sql", "parts"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("-- one\nSELECT 1;\n\n-- two\nSELECT ';';", ["-- one\nSELECT 1", "-- two\nSELECT ';'"]),
        ("SELECT 1; -- the end;", ["SELECT 1"]),
        ("INSERT INTO t FORMAT CSV\n1;2;'", ["INSERT INTO t FORMAT CSV\n1;2;'"]),
        ("/* ; */ DROP TABLE t;;", ["/* ; */ DROP TABLE t"]),
    ],
)
def test_a_text_may_hold_several_statements(sql: str, parts: list[str]) -> None:
    assert statements.split(sql) == parts
