"""Settings: which source wins, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from polybackfill import errors, settings


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """No settings file, no .env files."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_file(text: str) -> Path:
    path = Path("config/backfill.toml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(**arguments) -> str:
    with pytest.raises(errors.Stop) as stop:
        settings.load(**arguments)
    assert stop.value.exit_code == errors.EXIT_CONFIG
    return str(stop.value)


def test_without_any_source_the_defaults_hold():
    loaded = settings.load()
    assert str(loaded.backfill.data_url) == "https://data-api.polymarket.com"
    assert loaded.clickhouse.host is None
    assert loaded.checkpoint_path == Path.cwd() / "checkpoints" / "main"
    assert loaded.origins == {}
    assert loaded.unknown == ()


def test_a_misspelt_name_in_the_environment_is_told_with_a_guess(monkeypatch):
    monkeypatch.setenv("BACKFILL_WROKERS", "4")
    monkeypatch.setenv("BACKFILL_XYZZY", "blue")
    monkeypatch.setenv("BACKFILL_CONFIG", str(write_file("")))
    monkeypatch.setenv("CLICKHOUSE_USERNAME", "me")
    monkeypatch.setenv("CLICKHOUSE_KEEPER_X", "of somebody else")
    Path(".env").write_text("BACKFILL_SLEEPMS=2\nBACKFILL_SLEEP_MS=2\nOTHER=1\n")
    assert settings.load().unknown == (
        "BACKFILL_SLEEPMS is no setting; did you mean BACKFILL_SLEEP_MS?",
        "BACKFILL_WROKERS is no setting; did you mean BACKFILL_WORKERS?",
        "BACKFILL_XYZZY is no setting; polybackfill doctor --json lists them",
        "CLICKHOUSE_USERNAME is no setting; did you mean CLICKHOUSE_USER?",
    )


def test_each_source_wins_over_the_one_below(monkeypatch):
    seen = []
    steps = [
        lambda: write_file("[backfill]\nsleep_ms = 1\n"),
        lambda: Path(".env").write_text("BACKFILL_SLEEP_MS=2\n"),
        lambda: Path(".env.local").write_text("BACKFILL_SLEEP_MS=3\n"),
        lambda: monkeypatch.setenv("BACKFILL_SLEEP_MS", "4"),
    ]
    for step in steps:
        step()
        loaded = settings.load()
        seen.append((loaded.backfill.sleep_ms, loaded.origins["BACKFILL_SLEEP_MS"]))
    assert seen == [
        (1, "config/backfill.toml"),
        (2, ".env files"),
        (3, ".env files"),
        (4, "environment"),
    ]
    flagged = settings.load({"sleep_ms": 5})
    assert (flagged.backfill.sleep_ms, flagged.origins["BACKFILL_SLEEP_MS"]) == (5, "flag")


def test_sources_are_merged_setting_by_setting(monkeypatch):
    write_file('[backfill]\nworkers = 4\ngrace_s = 9.5\n[clickhouse]\ndatabase = "poly"\n')
    monkeypatch.setenv("BACKFILL_WORKERS", "auto")
    monkeypatch.setenv("CLICKHOUSE_HOST", "db.example")
    loaded = settings.load()
    assert (loaded.backfill.workers, loaded.backfill.grace_s) == ("auto", 9.5)
    assert (loaded.clickhouse.host, loaded.clickhouse.database) == ("db.example", "poly")


def test_limits_come_from_the_file_as_a_table_and_from_the_environment_as_json(monkeypatch):
    write_file('[backfill]\nlimits = {"/v2/activity" = 150}\n')
    assert settings.load().backfill.limits == {"/v2/activity": 150}
    monkeypatch.setenv("BACKFILL_LIMITS", '{"/v2/activity": 120}')
    assert settings.load().backfill.limits == {"/v2/activity": 120}


def test_an_empty_host_selects_the_embedded_store(monkeypatch):
    monkeypatch.setenv("CLICKHOUSE_HOST", "")
    assert settings.load().clickhouse.host is None


def test_a_trailing_slash_of_an_address_is_dropped():
    loaded = settings.load({"data_url": "http://127.0.0.1:8080/"})
    assert str(loaded.backfill.data_url) == "http://127.0.0.1:8080"


def test_the_file_can_be_named_by_flag_or_environment(monkeypatch):
    write_file("[backfill]\nskip = 1\n")
    other = Path("other.toml")
    other.write_text("[backfill]\nskip = 2\n")
    assert settings.load(file=other).backfill.skip == 2
    monkeypatch.setenv("BACKFILL_CONFIG", str(other))
    assert settings.load().backfill.skip == 2


def test_a_named_file_that_is_missing_is_refused():
    assert "absent.toml does not exist" in refusal(file=Path("absent.toml"))


def test_an_unknown_setting_in_the_file_is_refused_with_the_nearest_name():
    path = write_file("[backfill]\nsleep_msec = 1\n")
    message = refusal()
    assert str(path) in message
    assert "backfill.sleep_msec" in message
    assert "did you mean sleep_ms?" in message


def test_an_unknown_table_in_the_file_is_refused():
    write_file("[clickhous]\n")
    assert "unknown table clickhous; did you mean clickhouse?" in refusal()


def test_a_setting_outside_its_table_is_refused():
    write_file("workers = 3\n")
    assert "workers" in refusal()


def test_a_file_that_is_not_toml_is_refused():
    path = write_file("[backfill\n")
    assert f"settings file {path} cannot be read" in refusal()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("workers", 0, "at least 1"),
        ("workers", "many", "auto"),
        ("limit", -5, "must be at least 1"),
        ("skip", -1, "must be at least 0"),
        ("sleep_ms", -1, "must be at least 0"),
        ("limits", {"/v2/trades": -3}, "/v2/trades = -3"),
        ("data_url", "data-api.polymarket.com", "https://"),
        ("run_name", "../up", "pattern"),
        ("grace_s", 0, "must be more than 0"),
        ("share", 1.5, "must be at most 1"),
        ("log_level", "loud", "'warning'"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(name, value, reason):
    message = refusal(flags={name: value})
    assert f"BACKFILL_{name.upper()} = " in message
    assert "(from flag)" in message
    assert reason in message


def test_every_bad_value_is_named_at_once(monkeypatch):
    monkeypatch.setenv("BACKFILL_SKIP", "x")
    monkeypatch.setenv("BACKFILL_GRACE_S", "soon")
    message = refusal()
    assert "BACKFILL_SKIP" in message
    assert "BACKFILL_GRACE_S" in message
    assert "environment" in message


def test_json_that_is_none_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("BACKFILL_LIMITS", "not json")
    with pytest.raises(errors.Stop, match="BACKFILL_LIMITS is not the JSON"):
        settings.load({})
    monkeypatch.delenv("BACKFILL_LIMITS")
    monkeypatch.setenv("BACKFILL_INFLATED_SOURCES", "goldsky,other")
    with pytest.raises(errors.Stop, match=r'its default is \["goldsky"\]'):
        settings.load({})


def test_the_password_is_shown_nowhere(monkeypatch):
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "swordfish")
    loaded = settings.load()
    assert loaded.clickhouse.password.get_secret_value() == "swordfish"
    assert "swordfish" not in repr(loaded) + loaded.model_dump_json() + str(loaded.origins)


def test_a_refused_password_is_not_printed():
    write_file("[clickhouse]\npassword = 12345678\n")
    message = refusal()
    assert "CLICKHOUSE_PASSWORD" in message
    assert "12345678" not in message


def test_where_only_the_data_folder_is_set_the_checkpoint_lies_in_it(monkeypatch, tmp_path):
    monkeypatch.setenv("BACKFILL_DATA_DIR", str(tmp_path / "kept"))
    assert settings.load().checkpoint_path == tmp_path / "kept" / "checkpoints" / "main"
    monkeypatch.setenv("BACKFILL_CHECKPOINT_DIR", "own")
    assert settings.load().checkpoint_path == Path.cwd() / "own" / "main"
