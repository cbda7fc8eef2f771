"""Rows in, rows out: ClickHouse, embedded or a server. `client.open` is the way in."""
