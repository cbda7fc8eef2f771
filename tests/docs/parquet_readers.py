"""What pandas, polars, DuckDB and pyarrow find in a Parquet file, as JSON.

A process of its own: in the tests' process the store's engine keeps pyarrow from being loaded.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import duckdb
import pandas
import polars
import pyarrow.parquet


def read(path: str) -> dict[str, Any]:
    """Rows, rows of side BUY and types, by reader."""
    rows = pandas.read_parquet(path)
    frame = polars.read_parquet(path)
    counted = duckdb.read_parquet(path).aggregate("count(*), count(*) FILTER (side = 'BUY')")
    schema = pyarrow.parquet.read_schema(path)
    return {
        "pandas": [len(rows), int((rows["side"] == "BUY").sum())],
        "micro": int((rows["shares"] * 1e6).astype("int64").sum()),
        "zone": str(rows["trade_timestamp"].dt.tz),
        "polars": [frame.height, int((frame["side"] == "BUY").sum())],
        "polars_types": [str(frame.schema[name]) for name in ("wallet_address", "usdc_size")],
        "duckdb": list(counted.fetchall()[0]),
        "names": schema.names,
        "types": [str(schema.field(name).type) for name in ("external_trade_id", "side", "shares")],
    }


if __name__ == "__main__":
    print(json.dumps(read(sys.argv[1])))
