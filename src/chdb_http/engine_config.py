"""The rights of the embedded engine: it needs no file and no host but those of its own folder.

Two files in the data folder, written anew at each start: `config.xml`, which an embedded engine
reads in its working directory, and the users it names. There is one user, `default`; whoever wants
to be it must know the secret (`secret`), which is checked before the engine hears of a request.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from chdb_http import secret

# INSERT … FROM INFILE, by which the child hands rows over, asks for a right to read some file. A
# right for a name that no file has is enough for it, and opens nothing for `file()`.
_NO_FILE = "no file at all"
_TABLES = (
    "SHOW, SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, "
    "CREATE ARBITRARY TEMPORARY TABLE, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, "
    "CHECK, KILL QUERY, SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM FLUSH LOGS, dictGet"
)
# Engines that reach nothing outside the folder; those with no source of their own need no right.
_ENGINES = (
    "MergeTree", "ReplacingMergeTree", "SummingMergeTree", "AggregatingMergeTree",
    "CollapsingMergeTree", "VersionedCollapsingMergeTree", "Null", "Memory", "Log", "TinyLog",
    "StripeLog", "Set", "Join", "Buffer", "Merge", "View", "MaterializedView", "GenerateRandom",
)  # fmt: skip
# Settings that name a file, an address, or SQL that nobody has looked at; and those of niceness,
# which end the whole process where it may not lower them again (seen at 26.9).
_FIXED = (
    "additional_result_filter", "additional_table_filters",
    "ai_function_embedding_default_credentials", "ai_function_text_default_credentials",
    "allow_experimental_eval_table_function", "dialect", "filter",
    "format_avro_schema_registry_url", "format_schema", "format_template_resultset",
    "format_template_row", "implicit_table_at_top_level", "input_format_record_errors_file_path",
    "merge_tree_disk", "order", "os_threads_nice_value_materialized_view",
    "os_threads_nice_value_query", "output_format_schema", "polyglot_dialect",
    "rename_files_after_processing", "s3_base", "select", "sort", "url_base",
)  # fmt: skip

# Each thread of the engine keeps three files of /proc open: 10,000 may run by default, of which a
# thousand stay when they are idle. Its caches may take gigabytes by default; the marks of a billion
# rows need 40 MB.
_CONFIG = """<clickhouse>
  <users_config>{users}</users_config>
  <user_files_path>{none}/</user_files_path>
  <user_scripts_path>{none}/</user_scripts_path>
  <format_schema_path>{none}/</format_schema_path>
  <custom_local_disks_base_directory>{none}/</custom_local_disks_base_directory>
  <max_thread_pool_size>400</max_thread_pool_size>
  <max_thread_pool_free_size>32</max_thread_pool_free_size>
  <max_io_thread_pool_size>32</max_io_thread_pool_size>
  <max_io_thread_pool_free_size>8</max_io_thread_pool_free_size>
  <mark_cache_size>268435456</mark_cache_size>
  <index_mark_cache_size>67108864</index_mark_cache_size>
  <primary_index_cache_size>134217728</primary_index_cache_size>
  <query_condition_cache_size>33554432</query_condition_cache_size>
  <compiled_expression_cache_size>33554432</compiled_expression_cache_size>
</clickhouse>
"""
_USERS = """<clickhouse>
  <profiles><default><constraints>
{fixed}
  </constraints></default></profiles>
  <quotas><default/></quotas>
  <users><{user}>
    <password/>
    <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
    <grants>
{grants}
    </grants>
  </{user}></users>
</clickhouse>
"""


def enter_folder(folder: Path) -> str:
    """Write the engine's configuration into `folder` and make that the working directory.

    Returns the path of the engine's data from there. (A relative path also spares the engine the
    characters of the folder's name, some of which would mean something in it.)
    """
    os.umask(0o077)
    os.chdir(folder)
    users = "users.xml"
    fixed = "\n".join(f"    <{name}><const/></{name}>" for name in _FIXED)
    rights = [
        f"{_TABLES} ON *.*",
        f"READ ON FILE('{_NO_FILE}')",
        ", ".join(f"TABLE ENGINE ON {name}" for name in _ENGINES),
    ]
    grants = "\n".join(f"      <query>GRANT {right}</query>" for right in rights)
    Path(users).write_text(_USERS.format(fixed=fixed, grants=grants, user=secret.USER))
    Path("config.xml").write_text(_CONFIG.format(users=users, none="none"))
    _keep_scratch_inside(Path("scratch"))
    engine = Path("engine")
    if engine.exists():
        engine.chmod(0o700)  # a store of an earlier version
    return str(engine)


def _keep_scratch_inside(scratch: Path) -> None:
    """Loading chDB opens a store in a temporary folder, wherever that is: here it is ours."""
    shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
    scratch.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(scratch)
