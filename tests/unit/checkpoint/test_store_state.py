"""What a checkpoint remembers of its store."""

from __future__ import annotations

from pathlib import Path

import pytest

from polybackfill.checkpoint import store_state


@pytest.mark.parametrize("what", ["keys", "positions"])
def test_a_table_renamed_since_the_last_run_was_not_made_anew(tmp_path: Path, what: str) -> None:
    table = store_state.Table(uuid="u", least_rows=7, broken_parts=0)
    old, new = (
        store_state.StoreState(clean_stop="token", boot="b", tables={name: table})
        for name in (f"landed_{what}", f"ingested_{what}")
    )
    store_state.write(tmp_path, old)
    before = store_state.read(tmp_path)
    assert before == new
    assert store_state.doubts(before, new, token_known=True).reasons == []
