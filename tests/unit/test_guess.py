"""What is misspelt is answered with what may have been meant."""

from __future__ import annotations

import pytest

from polybackfill import cli, errors, guess, settings


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("runn", "run"),
        ("statsu --json", "status"),
        ("plan bild", "build"),
        ("report Coverage", "coverage"),
        ("run --walet 0x12", "--wallet"),
        ("run wallets --lmit=10", "--limit"),
        ("plan reset --eror", "--errors"),
        ("status --helth", "--health"),
        ("watchlist add 1 --side ys", "yes"),
    ],
)
def test_words_of_the_command_line(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.build_parser().parse_args(typed.split())
    assert ended.value.code == errors.EXIT_CONFIG
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_parts_are_guessed_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "walets"]) == errors.EXIT_CONFIG
    assert "did you mean wallets?" in capsys.readouterr().err
    assert cli.main(["plan", "estimate", "Postions"]) == errors.EXIT_CONFIG
    assert "did you mean positions?" in capsys.readouterr().err
    assert cli.main(["validate", "--only", "duplicate"]) == errors.EXIT_CONFIG
    assert "did you mean duplicates?" in capsys.readouterr().err


def test_what_is_like_nothing_gets_no_guess(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.build_parser().parse_args(["xyzzy"])
    told = capsys.readouterr().err
    assert "no command xyzzy: there are demo, init" in told
    assert "did you mean" not in told
    assert guess.near("xyzzy", []) == ""


def test_flags_may_still_be_shortened_and_values_begin_as_they_like() -> None:
    parsed = cli.build_parser().parse_args(["run", "--wal", "0x12", "--sleep", "5"])
    assert (parsed.wallet, parsed.sleep_ms) == (["0x12"], 5)
    parsed = cli.build_parser().parse_args(["sql", "-- a comment\nSELECT 1"])
    assert parsed.statement.startswith("-- a")


def test_values_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKFILL_LOG_LEVEL", "warn")
    with pytest.raises(errors.Stop, match="did you mean warning"):
        settings.load()
