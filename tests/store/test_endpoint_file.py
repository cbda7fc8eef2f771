"""The file that says where the store is: whatever stands in it, there is none or it is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from chdb_http import endpoint_file


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b'{"host":"127.0.0.1\xff","port":1,"pid":1,"started_at":1}',
        b'{"host":"127.0.0.1","port":0,"pid":1,"started_at":1}',
        b'{"host":"192.0.2.1","port":1,"pid":1,"started_at":1}',
        b'{"host":"127.0.0.1","port":1,"pid":"1\\r\\n","started_at":1}',
        b'{"other":' + b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "store.json").write_bytes(content)
    assert endpoint_file.read(tmp_path) is None
