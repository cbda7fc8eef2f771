"""How a run that was told to stop divides its grace period.

Parts of it, spent one after the other. The store may be away for each of them; what is left is for
the process to end.
"""

from __future__ import annotations

WORKERS_SHARE = 0.35  # to end the units in flight
ROWS_SHARE = 0.3  # to insert what was fetched
PLAN_SHARE = 0.1  # to bring the plan tables up to date; the next start makes up what is missed
END_SHARE = 0.1  # to note that this end was a clean one
CLAIM_SHARE = 0.05  # to give a server's database free
ALERTS_SHARE = 0.05  # to deliver the last alert
