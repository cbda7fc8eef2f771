"""An embedded store that stays open between tests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from chdb_http import endpoint_file, secret
from polybackfill import clocks
from polybackfill.store import client, migrate


def endpoint_of(folder: Path) -> endpoint_file.Endpoint:
    """Where the store of a folder listens."""
    found = endpoint_file.read(folder)
    assert found is not None
    return found


def password_of(folder: Path) -> str:
    """What other programs need to use the store of a folder."""
    key = secret.read(folder)
    assert key is not None
    return key.text


def login(folder: Path) -> dict[str, str]:
    """The same as the headers ClickHouse's clients send."""
    return {"X-ClickHouse-User": "default", "X-ClickHouse-Key": password_of(folder)}


@contextlib.contextmanager
def held(folder: Path, *, migrated: bool = False) -> Iterator[None]:
    """The store of a folder runs meanwhile: a socket holds it."""

    async def start() -> socket.socket:
        store = await client.open(client.Address(data_dir=folder), clock=clocks.SystemClock())
        if migrated:
            await migrate.up(store)
        endpoint = endpoint_of(folder)
        hold = socket.create_connection((endpoint.host, endpoint.port))
        lines = [f"GET /_hold/{endpoint.pid} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in login(folder).items()]
        hold.sendall("\r\n".join([*lines, "", ""]).encode())
        assert b"200 OK" in hold.recv(4096)
        await store.close()
        return hold

    with asyncio.run(start()):
        yield
