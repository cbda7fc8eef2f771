"""Keys become units as their kind packs them."""

from __future__ import annotations

import pytest

from polybackfill import units
from polybackfill.engine import plan_source
from polybackfill.kinds import kind as unit_kind
from polybackfill.kinds import registry


@pytest.mark.parametrize("kind", [kind for kind in registry.ALL if kind.key_flag])
def test_keys_share_a_request_where_their_kind_allows_it(kind: unit_kind.Kind) -> None:
    keys = [f"{number:064x}" for number in range(2 * kind.keys_per_request + 1)]
    built = list(plan_source.build_units(kind.name, keys, units.FULL_HISTORY))
    sizes = [len(unit.keys) for unit in built]
    assert sizes == [kind.keys_per_request] * 2 + [1]
    assert [key for unit in built for key in unit.keys] == keys
    assert {unit.kind for unit in built} == {kind.name}
