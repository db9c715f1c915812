"""Opens the results of several runs with DuckDB and with Polars, and prints what both find as one line of JSON.

    python open_results.py FOLDER

FOLDER holds a folder for each run. The keys of the output are the libraries.
"""

import json
import sys

import duckdb
import polars

TABLES = ["nodes", "seconds", "outages", "delays", "joins", "tree"]


def by_duckdb(folder):
    def ask(query):
        return duckdb.sql(query).fetchall()

    def table(name):
        return f"read_parquet('{folder}/**/{name}.parquet')"

    return {
        "rows": {name: ask(f"SELECT count(*) FROM {table(name)}")[0][0] for name in TABLES},
        "runs": [list(run) for run in ask(f"SELECT DISTINCT strategy, seed FROM {table('nodes')} ORDER BY ALL")],
        "delivery": ask(f"SELECT sum(on_time) / sum(due) FROM {table('nodes')} WHERE seed = 1")[0][0],
        "median_ms": ask(f"SELECT min(delay_ms) FROM {table('delays')} WHERE seed = 1 AND cdf >= 0.5")[0][0],
        "unplaced": ask(f"SELECT count(*) FROM {table('nodes')} WHERE parent IS NULL AND protection IS NULL")[0][0],
    }


def by_polars(folder):
    tables = {name: polars.read_parquet(f"{folder}/**/{name}.parquet") for name in TABLES}
    nodes, delays, seed = tables["nodes"], tables["delays"], polars.col("seed") == 1
    of_seed = nodes.filter(seed)
    return {
        "rows": {name: table.height for name, table in tables.items()},
        "runs": [list(run) for run in nodes.select("strategy", "seed").unique().sort("strategy", "seed").rows()],
        "delivery": of_seed["on_time"].sum() / of_seed["due"].sum(),
        "median_ms": delays.filter(seed & (polars.col("cdf") >= 0.5))["delay_ms"].min(),
        "unplaced": nodes.filter(polars.col("parent").is_null() & polars.col("protection").is_null()).height,
    }


print(json.dumps({"duckdb": by_duckdb(sys.argv[1]), "polars": by_polars(sys.argv[1])}))
