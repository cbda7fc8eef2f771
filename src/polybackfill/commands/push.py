"""`polybackfill push`: the embedded store to a server or a cluster, verified on both sides."""

from __future__ import annotations

import argparse

from polybackfill import errors, formats
from polybackfill.run import bootstrap, store_push


def push(arguments: argparse.Namespace) -> int:
    """Copy every table and the checkpoint; say how to go on there."""
    chosen = store_push.source_settings(bootstrap.settings_of(arguments))
    bootstrap.require_store(chosen)
    target = bootstrap.settings_of(arguments, server=arguments.to)
    pushed = bootstrap.run(store_push.push(chosen, target))
    folder = pushed.checkpoint.parent
    address = bootstrap.store_address(target)
    if arguments.json:
        bootstrap.print_json(
            {
                "server": address.location,
                "database": address.database,
                "tables": {
                    name: {"rows": content.rows, "digest": str(content.digest)}
                    for name, content in pushed.tables.items()
                },
                "left": pushed.left,
                "checkpoint_dir": folder,
            }
        )
        return errors.EXIT_OK
    rows = sum(content.rows for content in pushed.tables.values())
    print(
        f"{formats.counted(rows, 'row')} in {formats.counted(len(pushed.tables), 'table')} are in "
        f"database {address.database} at {address.location}, each table compared by count and "
        "digest"
    )
    if pushed.left:
        print(f"not copied, because they are not this program's: {', '.join(pushed.left)}")
    if not pushed.is_handed_over:
        print(f"the checkpoint in {pushed.checkpoint} is left as it is")
    cluster = f" CLICKHOUSE_CLUSTER={address.cluster}" if address.cluster else ""
    print(
        f"next: with CLICKHOUSE_HOST={address.url_host}:{address.server_port} "
        f"CLICKHOUSE_DATABASE={address.database}{cluster} and BACKFILL_CHECKPOINT_DIR={folder}: "
        "polybackfill run"
    )
    return errors.EXIT_OK
