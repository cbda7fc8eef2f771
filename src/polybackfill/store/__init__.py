"""Rows in, rows out: ClickHouse, embedded or a server. `client.open` is the way in.

Nothing is imported here: the embedded store's child process is started from this package too.
"""
