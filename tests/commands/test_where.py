"""Whatever the folder in which a command is typed, it writes into the data folder alone."""

from __future__ import annotations

from tests import harness
from tests.commands.conftest import NewDesk

COMMANDS = (
    "init",
    "plan build --from pm_trades",
    "recover --make-backup --write",
    "report coverage",
    "report morning",
    "dims build",
    "report categories",
    "market-ids lookup",
    "market-ids finalize",
    "finalize-all",
    "plan reset --errors",
    "quarantine replay",
    "watchlist list",
    "validate --offline",
    "check progress",
)


def test_the_working_folder_stays_empty(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    """Only the data folder is set; the checkpoint is found in it from any other folder, too."""
    desk = new_desk()
    desk.move_out()
    desk.data = desk.folder / "far" / "data"
    desk.set(data_dir=desk.data)
    del desk.environment["BACKFILL_CHECKPOINT_DIR"]
    desk.call("init")
    desk.call("sql", f"INSERT INTO pm_trades (wallet_address) VALUES ('{sandbox.wallets[0][2:]}')")
    home, desk.folder = desk.folder, desk.folder / "elsewhere"
    desk.folder.mkdir()
    desk.call("run", "markets", "events", "wallets")
    for words in COMMANDS:
        desk.call(*words.split(), code=None)
    assert {path.name for path in desk.folder.iterdir()} == {harness.SAID}
    assert (desk.data / "checkpoints" / desk.run_name).is_dir()

    desk.folder = home / "third"
    desk.folder.mkdir()
    said = desk.call("report", "coverage").out
    assert f"written: {desk.data}/EXTERNAL_COVERAGE_STATUS.md and {desk.data}/" in said
    assert desk.json("check", "receipts", "wallets")["found"] == 1, "the same checkpoint"
    assert "/" in desk.json("report", "coverage", "--output", "mine.md")["files"][0]
    assert {path.name for path in desk.folder.iterdir()} == {harness.SAID, "mine.md", "mine.html"}
