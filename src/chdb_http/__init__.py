"""The embedded ClickHouse (chDB) as a child process that speaks ClickHouse's HTTP interface.

`child_process.join_or_start` finds or starts the child of a data folder; `python -m chdb_http` is
that child. Nothing here imports the rest of the program, so the child can read no other code of it.
Nothing is imported here either: the engine may be loaded in the child alone.
"""
