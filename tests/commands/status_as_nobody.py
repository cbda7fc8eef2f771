"""A command as another user of the machine types it: everything is imported, then root let go."""

import os
import sys

import orjson

import polybackfill.commands.status  # noqa: F401
from polybackfill import cli

NOBODY = 65_534
# What these import on their way may be root's alone.
orjson.loads(orjson.dumps({"a": 1.5}, default=str))
cli.build_parser().parse_args(sys.argv[1:])
os.setgroups([])
os.setgid(NOBODY)
os.setuid(NOBODY)
sys.exit(cli.main(sys.argv[1:]))
