"""Rows in, rows out: ClickHouse, embedded or a server."""

from polybackfill.store.client import Address, Store, open

__all__ = ["Address", "Store", "open"]
