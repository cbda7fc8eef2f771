"""A client of the API for commands that ask it beside a run."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import AsyncIterator

from polybackfill import clock as clocks
from polybackfill import settings
from polybackfill.polymarket import endpoints, http, limits

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
