"""What the lists and the readings of positions brought is still there, row by row."""

from __future__ import annotations

from typing import Any

from polybackfill.checks import check_result

_STORED = """
SELECT concat('market ', source, ' ', condition_id, ' ', market_id, ' ', market_slug) AS key
FROM api_market_rows
UNION ALL SELECT concat('event ', event_id) AS key FROM api_event_rows
UNION ALL SELECT concat('resolution ', condition_id) AS key FROM api_resolution_rows
UNION ALL SELECT concat('user-stats ', wallet_address) AS key FROM api_user_stat_rows
"""
# Compared by hashes: two million keys of a hundred bytes each would fill the memory.
LOST = f"""
SELECT DISTINCT key FROM landed_keys
WHERE cityHash64(key) NOT IN (SELECT cityHash64(key) FROM ({_STORED}))
"""
LOST_POSITIONS = """
SELECT concat('positions of 0x', wallet_address) AS lost, positions AS landed, found AS stored
FROM (SELECT wallet_address, positions FROM landed_positions FINAL) AS landed
LEFT JOIN (
    SELECT wallet_address, count() AS found FROM api_positions_staging GROUP BY wallet_address
) AS stored USING (wallet_address)
WHERE found < positions
SETTINGS join_use_nulls = 0
"""
_NOTED = """
SELECT (SELECT uniqExact(cityHash64(key)) FROM landed_keys) AS list_rows,
    (SELECT sum(positions) FROM landed_positions FINAL) AS positions
"""


async def lists(context: check_result.CheckContext) -> check_result.CheckResult:
    """Every market, event and resolution that landed is stored, and every position of a wallet."""
    name = "lists"
    claim = "each market, event, resolution and position that was stored once is still there"
    (noted,) = await context.store.rows(_NOTED)
    if not any(noted.values()):
        return check_result.CheckResult(
            name, claim, "skipped", advice="no list is read yet: polybackfill run markets events"
        )
    (counted,) = await context.store.rows(f"SELECT count() AS n FROM ({LOST})")
    examples: list[dict[str, Any]] = []
    if counted["n"]:
        examples = await context.store.rows(
            f"SELECT key AS lost, 1 AS landed, 0 AS stored FROM ({LOST}) ORDER BY key "
            f"LIMIT {check_result.EXAMPLES}"
        )
    wallets = await context.store.rows(f"SELECT * FROM ({LOST_POSITIONS}) ORDER BY lost")
    lost = sum(row["landed"] - row["stored"] for row in wallets)
    return check_result.pass_or_fail(
        name,
        claim,
        holds=not counted["n"] and not wallets,
        evidence={**noted, "list_rows_lost": counted["n"], "positions_lost": lost},
        examples=[*examples, *wallets[: check_result.EXAMPLES]],
        advice="read them again: polybackfill run markets events resolutions positions user-stats",
    )
