"""`python -m chdb_http --data-dir FOLDER`: own the folder and serve it."""

from __future__ import annotations

import sys

from chdb_http import child_main

sys.exit(child_main.main())
