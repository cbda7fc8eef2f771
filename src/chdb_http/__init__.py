"""The embedded ClickHouse (chDB) as a child process that speaks ClickHouse's HTTP interface.

`child_process.join_or_start` finds or starts the child of a data folder; `python -m chdb_http` is
that child. Nothing here imports the program that uses it. Nothing is imported at this place: the
engine must be loaded in the child alone.
"""
