"""Bad input is named with its remedy, exit 78, and nothing is written."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness

from polybackfill import errors

WALLET = "0x" + "ab" * 20
CONDITION = "0x" + "cd" * 32


@pytest.fixture
def ground(bare_ground: harness.Ground) -> harness.Ground:
    """Nobody has made a store there yet."""
    return bare_ground


def _refused(ground: harness.Ground, *words: str) -> str:
    """Run; it must end at once with exit 78 and without a trace. What it said, on one line."""
    before = _files(ground.folder)
    ended = ground.run(*words, within_s=20)
    ended.expect(errors.EXIT_CONFIG)
    assert "Traceback" not in ended.err
    assert _files(ground.folder) == before
    return " ".join(ended.err.split())


def _files(folder: Path) -> set[str]:
    found = {path.relative_to(folder) for path in folder.rglob("*")}
    return {str(path) for path in found if path.parts[0] != harness.SAID}


@pytest.mark.parametrize(
    ("flag", "good", "bad"),
    [
        ("--wallet", WALLET, WALLET[:-1]),
        ("--wallet", WALLET, "0x" + "zz" * 20),
        ("--condition-id", CONDITION, CONDITION + "00"),
        ("--condition-id", CONDITION, "will it rain?"),
    ],
)
def test_a_malformed_id_in_a_file(flag: str, good: str, bad: str, ground: harness.Ground) -> None:
    file = ground.folder / "ids.txt"
    file.write_text(f"# mine\n{good}\n\n{bad}\n")
    said = _refused(ground, "run", flag, str(file))
    assert f"{file}, line 4" in said
    assert bad in said


def test_a_malformed_id_on_the_command_line(ground: harness.Ground) -> None:
    said = _refused(ground, "run", "--wallet", f"{WALLET},0x123")
    assert "command line" in said
    assert "0x123" in said


def test_a_malformed_id_in_a_plan_file(ground: harness.Ground) -> None:
    file = ground.folder / "plan.txt"
    file.write_text(f"{WALLET}\n{CONDITION}\n0x99\n")
    said = _refused(ground, "plan", "build", "--from", str(file))
    assert f"{file}, line 3" in said
    assert "0x99" in said


def test_a_file_that_is_not_there(ground: harness.Ground) -> None:
    said = _refused(ground, "run", "--wallet", "nowhere/wallets.txt")
    assert "nowhere/wallets.txt: no such file" in said


def test_since_after_until(ground: harness.Ground) -> None:
    words = ("run", "--wallet", WALLET, "--since", "2025-02-01", "--until", "2025-01-31")
    assert "--since 2025-02-01 lies after --until 2025-01-31: swap them" in _refused(ground, *words)


def test_an_unknown_setting_in_the_file(ground: harness.Ground) -> None:
    file = ground.folder / "mine.toml"
    file.write_text("[backfill]\nworker = 8\n")
    said = _refused(ground, "run", "--wallet", WALLET, "--config", str(file))
    assert f"{file}: unknown setting backfill.worker; did you mean workers?" in said


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("limit", "-5", "must be at least 1"),
        ("skip", "-1", "must be at least 0"),
        ("sleep_ms", "-1", "must be at least 0"),
        ("workers", "-2", "must be at least 1"),
        ("limits", '{"/v2/trades": -1}', "a limit must be at least 1"),
        ("limits", '{"/v3/trades": 5}', "known limits"),
        ("batch_rows", "0", "must be at least 1"),
    ],
)
def test_a_limit_that_makes_no_sense(
    name: str, value: str, hint: str, ground: harness.Ground
) -> None:
    ground.set(**{name: value})
    said = _refused(ground, "run", "--wallet", WALLET)
    assert hint in said


def test_a_negative_limit_on_the_command_line(ground: harness.Ground) -> None:
    said = _refused(ground, "run", "--wallet", WALLET, "--limit", "-5")
    assert "BACKFILL_LIMIT = -5 (from flag): --limit must be at least 1; or leave it out" in said


def test_a_limit_above_the_published_one_of_a_server_that_is_not_ours(
    ground: harness.Ground,
) -> None:
    ground.set(data_url="https://data-api.example.com", limits='{"/v2/trades": 301}')
    said = _refused(ground, "run", "--wallet", WALLET)
    assert "/v2/trades = 301" in said
    assert "300" in said


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A ClickHouse server that knows no such user, or no such password."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = (
                b"Code: 516. DB::Exception: reader: Authentication failed: password is incorrect, "
                b"or there is no user with such name. (AUTHENTICATION_FAILED) (version 25.8.1.1)\n"
            )
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(403)
            self.send_header("X-ClickHouse-Exception-Code", "516")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, name="refusing")
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_clickhouse_that_refuses(refusing_port: int, ground: harness.Ground) -> None:
    ground.environment |= {
        "CLICKHOUSE_HOST": "127.0.0.1",
        "CLICKHOUSE_PORT": str(refusing_port),
        "CLICKHOUSE_USER": "reader",
        "CLICKHOUSE_PASSWORD": "open sesame",
    }
    said = _refused(ground, "run", "--wallet", WALLET)
    assert f"127.0.0.1:{refusing_port} refuses user 'reader'" in said
    assert "CLICKHOUSE_PASSWORD" in said
    assert "sesame" not in said


def test_a_database_that_is_not_there(
    ground: harness.Ground, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("server")
    with harness.ground(folder, "http://127.0.0.1:9") as server:
        ground.use_server(server.serve(), "polymarkt")
        said = _refused(ground, "run", "--wallet", WALLET)
    assert "has no database 'polymarkt'" in said
    assert "CLICKHOUSE_DATABASE" in said


def test_a_checkpoint_folder_that_cannot_be_written(ground: harness.Ground) -> None:
    file = ground.folder / "a-file"
    file.write_text("not a folder")
    ground.set(checkpoint_dir=file / "checkpoints")
    said = _refused(ground, "run", "--wallet", WALLET)
    assert f"BACKFILL_CHECKPOINT_DIR {file}/checkpoints" in said
    assert "another folder" in said


def test_a_data_folder_that_cannot_be_written(ground: harness.Ground) -> None:
    file = ground.folder / "a-file"
    file.write_text("not a folder")
    ground.set(data_dir=file / "data")
    ended = ground.run("run", "--wallet", WALLET)
    ended.expect(errors.EXIT_CONFIG)
    assert f"BACKFILL_DATA_DIR {file}/data" in " ".join(ended.err.split())


def test_a_store_folder_of_another_program(ground: harness.Ground) -> None:
    ground.store.mkdir(parents=True)
    (ground.store / "engine").write_text("a file where the engine wants its folder")
    ended = ground.run("run", "--wallet", WALLET)
    ended.expect(errors.EXIT_CONFIG, errors.EXIT_UNAVAILABLE)
    assert str(ground.store) in ended.err
