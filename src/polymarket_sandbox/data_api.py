"""Data API v2: feeds, resolutions, volumes, status."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import orjson

from polymarket_sandbox import catalog, cursors, feeds, options, responses, rows, universe, v2_query

DAY = 86_400
_PADDED = 66  # 0x and 64 digits


class DataApi:
    """Answers for one universe. `now`: the universe's present in epoch seconds;
    `late_visible`: whether late rows have arrived."""

    def __init__(
        self,
        world: universe.Universe,
        settings: options.SandboxOptions,
        now: Callable[[], int],
        late_visible: Callable[[], bool],
    ) -> None:
        self._world = world
        self._feeds = feeds.Feeds(world)
        self._signer = cursors.Signer(settings.seed)
        self._type_csv_honoured = settings.type_csv == "honoured"
        self._now = now
        self._late_visible = late_visible

    def trades(self, query: v2_query.V2Query) -> responses.Response:
        """GET /v2/trades."""
        cash = query.choice("filter_type", ("CASH", "TOKENS"), "TOKENS") == "CASH"
        question = feeds.Question(
            user=feeds.user_of(query, self._world),
            conditions=feeds.conditions_of(query, self._world),
            trades_only=True,
            taker_only=query.flag("taker_only", default=True),
            side=_side(query),
            floor=round(query.amount("filter_amount", 0.01) * 1e6),
            cash=cash and query.text("filter_amount") is not None,
        )
        page = self._page("trades", question, query, ascending=False)
        return self._envelope("trades", page, self._world.renderer.trades(page.chosen), {})

    def activity(self, query: v2_query.V2Query) -> responses.Response:
        """GET /v2/activity."""
        user = feeds.user_of(query, self._world)
        if user is None:
            raise responses.refused("required query param 'user' not provided", parameter="user")
        query.choice("sort_by", ("TIMESTAMP",), None)
        direction = query.choice("sort_direction", ("ASC", "DESC"), None)
        bound = self._bound_direction(query, direction)
        question = feeds.Question(
            user=user,
            conditions=feeds.conditions_of(query, self._world),
            trades_only=False,
            side=_side(query),
            kinds=self._kinds(query),
            hide_transfers=query.flag("exclude_deposits_withdrawals", default=True),
        )
        ascending = bound["dir"] == "ASC"
        page = self._page("activity", question, query, ascending=ascending)
        return self._envelope("activity", page, self._world.renderer.activity(page.chosen), bound)

    def resolutions(self, query: v2_query.V2Query) -> responses.Response:
        """GET /v2/resolutions: exactly one selector; unknown ids are simply absent."""
        given = [name for name in ("question_id", "condition", "event_id") if query.text(name)]
        if len(given) != 1:
            raise responses.refused("provide exactly one of question_id, condition, event_id")
        lists = self._world.lists
        unlisted: list[catalog.Market | None] = []
        if given == ["condition"]:
            conditions = query.conditions()
            if any(len(condition) < _PADDED for condition in conditions):
                raise responses.refused("invalid resolution condition id", parameter="condition")
            places = [lists.index.by_condition.get(condition) for condition in conditions]
            unlisted = [self._settled_alone(condition) for condition in conditions]
        elif given == ["event_id"]:
            events = [lists.index.event_by_id.get(event) for event in query.events()]
            members = [lists.events[place].market_ids for place in events if place is not None]
            places = [lists.index.by_id[number] for numbers in members for number in numbers]
        else:
            places = [self._question_places.get(query.text("question_id") or "")]
        found = [lists.markets[place] for place in sorted({p for p in places if p is not None})]
        known = [m for m in found if m.condition_id and m.resolution_status != catalog.NO_ROW]
        known = [m for m in known if m.payouts or m.condition_id not in self._settled_ids]
        known += [market for market in unlisted if market is not None]
        return responses.as_json({"data": [_resolution(market) for market in known]})

    @cached_property
    def _settled_ids(self) -> dict[str, tuple[int, ...]]:
        conditions = self._world.tables.conditions
        return {conditions[number]: paid for number, paid in self._world.settled.items()}

    def _settled_alone(self, condition: str) -> catalog.Market | None:
        """A market whose end only recorded rows tell."""
        place = self._world.lists.index.by_condition.get(condition)
        payouts = self._settled_ids.get(condition)
        if payouts is None or (place is not None and self._world.lists.markets[place].payouts):
            return None
        return catalog.Market(
            id=1,
            slug="",
            condition_id=condition,
            question_id="",
            question="",
            outcomes=("", ""),
            version="v1",
            neg_risk=False,
            start=0,
            end=0,
            created=self._world.now,
            closed=True,
            closed_at=self._world.now,
            payouts=payouts,
        )

    @cached_property
    def _question_places(self) -> dict[str, int]:
        markets = self._world.lists.markets
        return {market.question_id: place for place, market in enumerate(markets)}

    def user_volume(self, query: v2_query.V2Query) -> responses.Response:
        """GET /v2/user-volume: shares, USD and trades of whole UTC days."""
        user = feeds.user_of(query, self._world)
        if user is None:
            raise responses.refused("required query param 'user' not provided", parameter="user")
        first, last = feeds.window("user", query, self._now())
        question = feeds.Question(user=user, conditions=None, trades_only=True)
        chosen = self._feeds.selection(question, late_visible=self._late_visible())
        table = self._world.table
        ts = table.ts[chosen]
        chosen = chosen[(ts >= first // DAY * DAY) & (ts < (last // DAY + 1) * DAY)]
        shares = table.micro[chosen] / 1e6
        totals = {
            "volume": round(float(shares.sum()), 6),
            "volume_usdc": round(float((shares * table.price[chosen]).sum()), 6),
            "trade_count": len(chosen),
        }
        return responses.as_json({"data": totals})

    def live_volume(self, query: v2_query.V2Query) -> responses.Response:
        """GET /v2/live-volume: shares of all fills, each counted once, by condition of up to 20
        events; ids that are no numbers are passed over unless all are."""
        wanted = query.readable_events()
        if not wanted:
            raise responses.refused(
                "required query param 'event_id' not provided", parameter="event_id"
            )
        lists = self._world.lists
        events = [
            lists.events[lists.index.event_by_id[one]]
            for one in wanted
            if one in lists.index.event_by_id
        ]
        markets = [lists.market(number) for event in events for number in event.market_ids]
        listed = [
            {"condition_id": market.condition_id, "taker_volume": round(market.volume, 6)}
            for market in markets
            if market.condition_id
        ]
        total = round(sum(market.volume for market in markets if market.condition_id), 6)
        return responses.as_json({"data": {"taker_volume_total": total, "conditions": listed}})

    def status(self, _asked: v2_query.V2Query) -> responses.Response:
        """GET /v2/status: freshness, four seconds behind as observed in autumn 2026."""
        now = self._now()
        block = int(rows.block_of(np.array([now]))[0])
        lagging = {"source": "auto_redeem_binary_redemption", "block": block - 1, "behind_max": 1}
        status = {
            "computed_at": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "age_seconds": 2,
            "serving": {
                "lag_seconds": 4,
                "worst": "activity_feed",
                "mechanisms": [
                    {"name": "activity_feed", "age_seconds": 4},
                    {"name": "custody_balances", "age_seconds": 1, "blocks_behind": 0},
                    {"name": "pnl", "age_seconds": 1, "blocks_behind": 2},
                ],
            },
            "ingestion": {
                "cursors": 175,
                "network": "polygon",
                "chain_id": 137,
                "max_synced_block": block,
                "min_synced_block": block - 1,
                "most_lagged": lagging,
                "lagging": [lagging],
            },
        }
        return responses.as_json({"data": status})

    def _page(
        self,
        kind: str,
        question: feeds.Question,
        query: v2_query.V2Query,
        *,
        ascending: bool,
    ) -> feeds.Page:
        limit, after, offset = query.limit(), None, 0
        cursor = query.text("cursor")
        if cursor is not None:
            after, limit, offset = feeds.resume(self._signer.open(kind, cursor))
        first_ts, last_ts = feeds.window(question.anchor, query, self._now())
        selected = self._feeds.selection(question, late_visible=self._late_visible())
        return self._feeds.page(
            selected,
            first_ts=first_ts,
            last_ts=last_ts,
            limit=limit,
            ascending=ascending,
            after=after,
            offset=offset,
        )

    def _bound_direction(self, query: v2_query.V2Query, direction: str | None) -> dict[str, object]:
        """The direction in force: a cursor holds its own and refuses another."""
        cursor = query.text("cursor")
        if cursor is None:
            return {"dir": direction or "DESC"}
        held = self._signer.open("activity", cursor).get("dir")
        if direction is not None and direction != held:
            raise responses.refused(
                f"cursor was issued for sort_direction={held}", parameter="sort_direction"
            )
        return {"dir": held}

    def _kinds(self, query: v2_query.V2Query) -> tuple[int, ...] | None:
        text = query.text("type")
        if text is None:
            return None
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in feeds.KINDS_OF_FILTER:
                raise responses.refused(
                    f"Failed to deserialize query string: type: unknown variant `{name}`",
                    parameter="type",
                )
        if len(names) > 1 and not self._type_csv_honoured:
            return None
        return tuple(sorted({rows.KIND[name] for name in names if name in rows.KIND}))

    def _envelope(
        self, kind: str, page: feeds.Page, body: bytes, bound: dict[str, object]
    ) -> responses.Response:
        cursor = None
        if page.next_params is not None:
            cursor = self._signer.seal(kind, {**page.next_params, **bound})
        pagination = {
            "limit": page.limit,
            "offset": page.offset,
            "has_more": cursor is not None,
            "next_cursor": cursor,
        }
        tail = b',"pagination":' + orjson.dumps(pagination) + b"}"
        return responses.Response(b'{"data":' + body + tail)


def _side(query: v2_query.V2Query) -> int | None:
    side = query.choice("side", ("BUY", "SELL"), None)
    return None if side is None else rows.SIDES.index(side)


def _status(market: catalog.Market) -> str:
    if market.payouts:
        return "resolved"
    return "proposed" if market.closed else "active"


def _resolution(market: catalog.Market) -> dict[str, object]:
    """One row of /v2/resolutions, settled or still open."""
    is_settled = market.resolution_status is None and bool(market.payouts)
    moment = market.closed_at if is_settled else market.created
    stamp = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    is_question = market.id % 3 == 0
    price = str(round(market.payouts[0] / 1e6, 6)) if is_settled else "69"
    block = int(rows.block_of(np.array([moment]))[0]) if is_settled else None
    return {
        "question_id": market.question_id if is_question else None,
        "condition_id": market.condition_id,
        "status": market.resolution_status or _status(market),
        "extended_review": False,
        "expected_settlement_time": None,
        "settlement_time_basis": None,
        "was_disputed": market.resolution_status == "disputed",
        "new_version_q": False,
        "proposed_price": price if is_question else None,
        "reproposed_price": "69" if is_question else None,
        "price": price if is_question else None,
        "transaction_hash": "0x" + market.condition_id[2:].zfill(64)[::-1] if is_settled else "",
        "log_index": str(market.id % 900) if is_settled else "",
        "last_update_timestamp": str(moment) if is_question else stamp,
        "market_type": "INCREMENTAL_NEGRISK" if market.neg_risk else "BINARY",
        "payouts": market.shown_payouts if is_settled else None,
        "resolution_source": "reported" if is_settled else None,
        "reporter": ("UMA_OO" if is_question else "CHAINLINK") if is_settled else None,
        "was_arbitrated": False if is_settled else None,
        "resolved_block": block,
        "resolved_at": stamp if is_settled else None,
    }
