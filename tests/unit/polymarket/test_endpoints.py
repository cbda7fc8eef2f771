"""The published budgets, and how they may be lowered."""

import pytest

from polybackfill import errors
from polybackfill.polymarket import endpoints


def test_every_route_draws_on_published_budgets_narrow_before_wide():
    for route in endpoints.ROUTES:
        sizes = [endpoints.PUBLISHED[name].requests for name in route.budgets]
        assert sizes == sorted(sizes), route.name
        assert route.budgets[-1].endswith("/*")


def test_routes_have_names_of_their_own():
    names = [route.name for route in endpoints.ROUTES]
    assert len(set(names)) == len(names)


def test_no_two_hosts_share_a_budget():
    hosts: dict[str, set[str]] = {}
    for route in endpoints.ROUTES:
        for name in route.budgets:
            hosts.setdefault(name, set()).add(route.host)
    assert all(len(asked) == 1 for asked in hosts.values())


def test_the_budgets_of_the_backfill_are_the_published_ones():
    chosen = endpoints.budgets()
    assert chosen["/v2/trades"] == endpoints.Budget(300, 10.0)
    assert chosen["/v2/activity"] == endpoints.Budget(200, 10.0)
    assert chosen["/v2/*"] == endpoints.Budget(800, 10.0)


def test_a_budget_can_be_lowered():
    chosen = endpoints.budgets({"/v2/trades": 250})
    assert chosen["/v2/trades"] == endpoints.Budget(250, 10.0)
    assert chosen["/v2/activity"] == endpoints.PUBLISHED["/v2/activity"]


@pytest.mark.parametrize("requests", [0, -1, 301])
def test_a_budget_outside_the_published_one_is_refused_by_name(requests):
    with pytest.raises(errors.Stop, match=r"/v2/trades.*300"):
        endpoints.budgets({"/v2/trades": requests})


def test_an_unknown_budget_is_refused_with_the_known_ones():
    with pytest.raises(errors.Stop, match=r"'/v2/trade' is unknown; .*/v2/trades"):
        endpoints.budgets({"/v2/trade": 10})
