"""The wallets of the money cases: each does one thing, so that its profit can be computed by hand.

A market maker stands on the other side of every fill; it splits what it sells before. Makers pay
no fees: a wallet that shows a round figure makes, one that shows fees takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from polymarket_sandbox import (
    catalog,
    fees,
    money_markets,
    position_events,
    row_renderer,
    rows,
    tokens,
    trading,
    universe,
    wallets,
)

DAY = 86_400
SHARE = 1_000_000
YES, NO = 0, 1
_STOCK = 200_000 * SHARE


@dataclass
class CaseWriter:
    """Writes the rows of the money cases. `place_of`: condition numbers by Gamma id; `groups`:
    condition number of a negative-risk market id, by that id."""

    writer: position_events.EventWriter
    wallet_set: wallets.WalletSet
    venue: trading.Venue
    traded: Sequence[catalog.Market]
    place_of: Mapping[int, int]
    groups: Mapping[str, int]
    now: int
    seed: int
    transfers: list[universe.Transfer] = field(default_factory=list)
    stocked: set[int] = field(default_factory=set)

    def wallet(self, name: str) -> int:
        """The number of a wallet, new at its first mention."""
        known = self.wallet_set.special
        if name not in known:
            address = "0x" + tokens.keccak256(f"{self.seed} {name}".encode()).hex()[:40]
            known[name] = len(self.wallet_set.addresses)
            self.wallet_set.addresses.append(address)
            self.wallet_set.profiles.append(row_renderer.Profile(wallet=address, name=name))
        return known[name]

    def token(self, place: int, outcome: int) -> int:
        return int(self.venue.tokens[place, outcome])

    def trade(
        self,
        who: int,
        asset: tuple[int, int],
        shares: float,
        *,
        price: float,
        ts: int,
        taker: bool = False,
    ) -> None:
        """`who` buys so many shares of (condition number, outcome), or sells them when negative,
        from or to the market maker."""
        place, outcome = asset
        maker = self.wallet("wallet_money_maker")
        if place not in self.stocked:
            self.stocked.add(place)
            first = self.traded[place].start + 30
            self.writer.add("SPLIT", first, maker, _STOCK, condition=place)
        micro, buying = round(abs(shares) * SHARE), shares > 0
        parties = [(maker, not buying, not taker), (who, buying, taker)]
        tx: int | None = None
        for number, buys, takes in sorted(parties, key=lambda party: party[2]):
            tx = self.writer.trade(
                ts,
                number,
                micro,
                condition=place,
                token=self.token(place, outcome),
                side=rows.BUY if buys else rows.SELL,
                price=price,
                taker=takes,
                tx=tx,
            )

    def convert(
        self,
        who: int,
        event: Sequence[int],
        burnt: Sequence[int],
        *,
        shares: int,
        ts: int,
        key: str,
    ) -> None:
        """No of the `burnt` markets becomes Yes of the others that exist, and cash for all but one.
        `key`: what the rows name: a `member`, `each` member, or the `event`."""
        micro, cash = shares * SHARE, (len(burnt) - 1) * SHARE
        gone = [event[rank] for rank in burnt]
        market = self.traded[event[0]]
        group = self.groups[market.neg_risk_market_id]
        named = {"member": gone[:1], "each": gone, "event": [group]}[key]
        tx: int | None = None
        for condition in named:
            tx = self.writer.add(
                "CONVERSION", ts, who, micro, condition=condition, payout=cash, tx=tx
            )
        assert tx is not None  # noqa: S101  (at least one No is burnt)
        gained = [place for place in event if place not in gone]
        gained = [place for place in gained if self.traded[place].created <= ts]
        self.writer.effects[tx] = (
            *((self.token(place, NO), -micro, 0.0) for place in gone),
            *((self.token(place, YES), micro, 0.0) for place in gained),
        )

    def redeem(
        self,
        who: int,
        place: int,
        ts: int,
        taken: Mapping[int, int],
        *,
        combined: bool = False,
    ) -> None:
        """Give up `taken` shares by outcome for their payout: a row for each outcome, or one
        without a token whose size is the USD."""
        payouts = self.traded[place].payouts
        worth = sum(shares * payouts[outcome] for outcome, shares in taken.items())
        tx: int | None = None
        if combined:
            tx = self.writer.add("REDEEM", ts, who, worth, condition=place)
        else:
            for outcome, shares in taken.items():
                token, payout = self.token(place, outcome), payouts[outcome]
                tx = self.writer.add(
                    "REDEEM",
                    ts,
                    who,
                    shares * SHARE,
                    condition=place,
                    token=token,
                    payout=payout,
                    tx=tx,
                )
        assert tx is not None  # noqa: S101  (something is redeemed)
        self.writer.effects[tx] = tuple(
            (self.token(place, outcome), -shares * SHARE, payouts[outcome] / 1e6)
            for outcome, shares in taken.items()
        )

    def receive(self, who: int, asset: tuple[int, int], shares: int, ts: int) -> None:
        """Shares come by a direct transfer, which no feed shows."""
        self.transfers.append((who, self.token(*asset), ts, shares * SHARE))


def write_cases(case_writer: CaseWriter, named: money_markets.MoneyMarkets) -> None:
    """Write all cases."""
    events = {
        name: [case_writer.place_of[number] for number in members]
        for name, members in named.events.items()
    }
    singles = {name: case_writer.place_of[number] for name, number in named.singles.items()}
    for name in ("two", "all"):
        _conversions(case_writer, name, events[name])
    _later(case_writer, events["later"])
    _redemptions(case_writer, singles)
    _incomes(case_writer, singles["open"])
    _fees(case_writer, singles["fees"])
    _transfers(case_writer, events["two"], singles["transfer"])
    for number, name in enumerate(money_markets.STALE_LISTINGS):
        who, place = case_writer.wallet(f"wallet_stale_{name}"), singles[f"stale_{name}"]
        outcome, ts = int(name == "amm"), case_writer.now - 60 * DAY + number
        case_writer.trade(
            who, (place, outcome), 1000, price=0.9997 if name == "no_payouts" else 0.4, ts=ts
        )


def _conversions(case_writer: CaseWriter, name: str, event: Sequence[int]) -> None:
    """One No or several, in every shape of rows, in an event of which two or all markets resolve.
    Of `wallet_conv_flat_*` nothing is left but 30 USD."""
    ts = case_writer.now - 60 * DAY
    who = case_writer.wallet(f"wallet_conv_flat_{name}")
    case_writer.trade(who, (event[0], NO), 1000, price=0.9, ts=ts)
    case_writer.convert(who, event, [0], shares=1000, ts=ts + 60, key="member")
    prices = [0.40, 0.25, 0.15, 0.08, 0.05] if len(event) == 6 else [0.45, 0.28, 0.20]
    for place, price in zip(event[1:], prices, strict=True):
        case_writer.trade(who, (place, YES), -1000, price=price, ts=ts + 120 + place)
    for key in ("member", "each", "event"):
        for burnt in ([0], [0, 1], [0, 2, 3]):
            if len(burnt) == 1 and key == "each":
                continue  # the same as a member
            ts += 1_000
            who = case_writer.wallet(f"wallet_conv_{key}_{len(burnt)}_{name}")
            for rank in burnt:
                case_writer.trade(
                    who, (event[rank], NO), 120, price=0.7 - rank / 50, ts=ts + rank, taker=True
                )
            case_writer.convert(who, event, burnt, shares=100, ts=ts + 60, key=key)
            last = event[-1] if len(event) - 1 not in burnt else event[1]
            case_writer.trade(who, (last, YES), -40, price=0.2, ts=ts + 120, taker=True)


def _later(case_writer: CaseWriter, event: Sequence[int]) -> None:
    """The last market joined the event when these had been converted: they have nothing of it."""
    ts = case_writer.now - 60 * DAY
    for key in ("member", "event"):
        who = case_writer.wallet(f"wallet_conv_later_{key}")
        case_writer.trade(who, (event[0], NO), 100, price=0.7, ts=ts)
        case_writer.convert(who, event, [0], shares=100, ts=ts + 60, key=key)
    who = case_writer.wallet("wallet_conv_later_both")
    ts = case_writer.now - 5 * DAY
    case_writer.trade(who, (event[0], NO), 100, price=0.7, ts=ts)
    case_writer.convert(who, event, [0], shares=100, ts=ts + 60, key="event")


def _redemptions(case_writer: CaseWriter, singles: Mapping[str, int]) -> None:
    place = singles["redeem_combined"]
    end = case_writer.traded[place].closed_at
    who = case_writer.wallet("wallet_redeem_part")
    case_writer.trade(who, (place, YES), 100, price=0.7, ts=end - DAY)
    case_writer.redeem(who, place, end + DAY, {YES: 40}, combined=True)
    who = case_writer.wallet("wallet_redeem_bought_again")
    case_writer.trade(who, (place, YES), 50, price=0.7, ts=end - DAY)
    case_writer.redeem(who, place, end + DAY, {YES: 50}, combined=True)
    case_writer.trade(who, (place, YES), 7, price=0.99, ts=end + DAY + 100)
    place = singles["redeem_whole"]
    who = case_writer.wallet("wallet_redeem_whole")
    case_writer.trade(who, (place, YES), 80, price=0.6, ts=end - DAY)
    case_writer.trade(who, (place, NO), 30, price=0.4, ts=end - DAY + 5)
    case_writer.redeem(who, place, end + DAY, {YES: 80, NO: 30}, combined=True)
    who = case_writer.wallet(
        "wallet_redeem_zero"
    )  # version 1 showed such rows; version 2 drops most
    case_writer.trade(who, (place, NO), 30, price=0.4, ts=end - DAY + 10)
    case_writer.redeem(who, place, end + DAY, {NO: 30}, combined=True)
    place = singles["redeem_outcomes"]
    end = case_writer.traded[place].closed_at
    who = case_writer.wallet("wallet_redeem_twice")
    case_writer.trade(who, (place, YES), 100, price=0.7, ts=end - DAY)
    for day in (1, 2):
        case_writer.redeem(who, place, end + day * DAY, {YES: 30})
    place = singles["redeem_losers"]
    who = case_writer.wallet("wallet_redeem_worthless")
    case_writer.trade(who, (place, NO), 90, price=0.3, ts=end - DAY)
    case_writer.redeem(who, place, end + DAY, {NO: 90})
    who = case_writer.wallet("wallet_redeem_both")
    case_writer.trade(who, (place, YES), 25, price=0.7, ts=end - DAY)
    case_writer.trade(who, (place, NO), 60, price=0.3, ts=end - DAY + 5)
    case_writer.redeem(who, place, end + DAY, {YES: 25, NO: 60})
    who = case_writer.wallet("wallet_lost")
    case_writer.trade(who, (place, NO), 45, price=0.3, ts=end - DAY)


def _incomes(case_writer: CaseWriter, place: int) -> None:
    """A split sold on both sides and a reward: +65. A round trip in an open market: +3500."""
    ts = case_writer.now - 50 * DAY
    who = case_writer.wallet("wallet_split_sold")
    case_writer.writer.add("SPLIT", ts, who, 1000 * SHARE, condition=place)
    case_writer.trade(who, (place, YES), -1000, price=0.28, ts=ts + 10)
    case_writer.trade(who, (place, NO), -1000, price=0.76, ts=ts + 20)
    case_writer.writer.add("REWARD", ts + DAY, who, 25 * SHARE)
    who = case_writer.wallet("wallet_round_trip")
    case_writer.trade(who, (place, YES), 10_000, price=0.10, ts=ts)
    case_writer.trade(who, (place, YES), -10_000, price=0.45, ts=ts + DAY)
    who = case_writer.wallet("wallet_merge")
    case_writer.trade(who, (place, YES), 300, price=0.35, ts=ts, taker=True)
    case_writer.trade(who, (place, NO), 200, price=0.55, ts=ts + 10, taker=True)
    case_writer.writer.add("MERGE", ts + 20, who, 150 * SHARE, condition=place)


# 2025-12-20, 2026-02-15, 2026-04-10, 2026-05-20, 2026-08-01: one day in every time of the schedule,
# and whether a buyer's fee was kept back in shares then.
_FEE_DAYS = (
    (1_766_188_800, False),
    (1_771_113_600, True),
    (1_775_779_200, True),
    (1_779_235_200, False),
    (1_785_542_400, False),
)


def _fees(case_writer: CaseWriter, place: int) -> None:
    """A taker who buys and sells in every time of the schedule, and the maker who never pays."""
    taker, maker = case_writer.wallet("wallet_fee_taker"), case_writer.wallet("wallet_fee_maker")
    for day, in_shares in _FEE_DAYS:
        if day > case_writer.now - DAY or day < case_writer.traded[place].start:
            continue
        if in_shares:
            _buy_net_of_fee(case_writer, taker, place, day)
        else:
            case_writer.trade(taker, (place, YES), 41, price=0.3, ts=day, taker=True)
        case_writer.trade(taker, (place, YES), -10, price=0.12, ts=day + 60, taker=True)
        case_writer.trade(maker, (place, YES), 41, price=0.3, ts=day + 90)
        case_writer.trade(maker, (place, YES), -10, price=0.12, ts=day + 120)


def _buy_net_of_fee(case_writer: CaseWriter, who: int, place: int, ts: int) -> None:
    """41 shares ordered at 0.30: 12.30 USD are paid, and fewer shares come than were ordered."""
    ordered, price = 41.0, 0.3
    fee = fees.one(ts, fees.CRYPTO, ordered, price)
    micro = round((ordered - fee / price) * SHARE)
    maker = case_writer.wallet("wallet_money_maker")
    write = partial(
        case_writer.writer.trade,
        ts,
        condition=place,
        token=case_writer.token(place, YES),
        price=price,
    )
    tx = write(maker, round(ordered * SHARE), side=rows.SELL, taker=False)
    write(who, micro, side=rows.BUY, taker=True, tx=tx, usdc=round(ordered * price, 6))


def _transfers(case_writer: CaseWriter, event: Sequence[int], place: int) -> None:
    """What no feed explains: shares sold, or converted, that came by a transfer."""
    ts = case_writer.now - 55 * DAY
    who = case_writer.wallet("wallet_transfer_in")
    case_writer.receive(who, (place, YES), 100, ts)
    case_writer.trade(who, (place, YES), -50, price=0.4, ts=ts + 60)
    who = case_writer.wallet("wallet_conv_unmatched")
    case_writer.receive(who, (event[1], NO), 100, ts)
    case_writer.trade(who, (event[2], YES), 10, price=0.3, ts=ts + 30)
    case_writer.convert(who, event, [1], shares=100, ts=ts + 60, key="member")
