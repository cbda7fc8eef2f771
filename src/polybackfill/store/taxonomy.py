"""Eight categories from tags: what a market is about.

Modern markets carry no category, only tags, several of them, and most of these say little: many
are "Tech", "Culture" or "World" on the side. So each tag listed here speaks for one category, as a
specific one ("Fed Rates", "NBA") or as a generic one ("Politics", "Sports"), and the category with
the most specific tags wins; of several the one with the most generic tags, where those that stand
on nearly everything (`FAINT`) count half; then the upper one here. A country (`COUNTRIES`) says
where, which counts a generic tag less than what: "Japan" and "Earthquakes" are a disaster. A market
none of whose tags is listed is Uncategorized. The old `category` field of Gamma is one more tag.

Tags are compared by their letters and digits alone, without a final s: "Fed Rates" and "fed-rates",
"Super Bowl" and "superbowl", "earthquake" and "earthquakes" are one tag, and count once.

The eight categories are those of the seed's repository; the tags are the topics of Polymarket's own
menu and the most frequent ones of 5,711 recorded markets (2023-01 to 2026-04), read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chdb_http import statements

UNCATEGORIZED = "Uncategorized"

# Tags that say what a market is about, in order of priority.
SPECIFIC: Mapping[str, tuple[str, ...]] = {
    "Politics / Geopolitics": (
        "geopolitics", "elections", "global-elections", "world-elections", "us-elections",
        "primaries", "midterms", "governor", "mayor", "president", "presidential", "cabinet",
        "trump-cabinet", "congress", "senate", "house", "house-of-representatives",
        "supreme-court", "scotus", "immigration", "gov-shutdown", "government-shutdown",
        "epstein", "jeffrey-epstein", "pope", "next-pope", "conclave", "biden", "harris",
        "vance", "obama", "mamdani", "maga", "sotu", "pardons", "uk-politics",
        "europe-politics", "foreign-policy", "international-relations", "nyc-mayor",
        "middle-east", "ukraine", "russia", "ukraine-russia", "ukraine-map",
        "ukraine-peace-deal", "putin", "zelenskyy", "zelensky", "trump-putin",
        "trump-zelenskyy", "israel", "iran", "israel-x-iran", "trump-iran", "khamenei", "gaza",
        "palestine", "lebanon", "hezbollah", "hamas", "syria", "yemen", "houthis", "netanyahu",
        "iraq", "saudi-arabia", "qatar", "uae", "turkey", "egypt", "afghanistan", "hormuz",
        "strait-of-hormuz", "venezuela", "maduro", "china", "taiwan", "trump-xi", "xi-jinping",
        "hong-kong", "north-korea", "south-korea", "japan", "india", "pakistan",
        "india-pakistan", "thailand", "cambodia", "vietnam", "philippines", "nepal", "germany",
        "france", "uk", "united-kingdom", "poland", "romania", "spain", "portugal", "greece",
        "europe", "eu", "canada", "mexico", "brazil", "argentina", "chile", "cuba", "greenland",
        "denmark", "sudan", "somalia", "nato", "united-nations", "war", "military",
        "military-strikes", "military-action", "strikes", "nuclear", "nuclear-deal",
        "nuclear-weapons", "diplomacy-ceasefire", "ceasefire", "peace-talks", "terrorism",
        "coup", "cartel",
    ),
    "Macro / Economy": (
        "economy", "economic-policy", "macro", "fed", "fed-rates", "fomc", "jerome-powell",
        "fed-chair", "interest-rates", "inflation", "cpi", "pce", "gdp", "jobs", "jobs-report",
        "nonfarm-payrolls", "unemployment", "recession", "treasury", "treasuries", "tariffs",
        "liberation-day-tariffs", "trade-war", "trade-deal", "taxes", "debt-ceiling",
        "central-banks", "ecb", "bank-of-england", "bank-of-japan", "commodities", "oil",
        "crude-oil", "gold", "silver", "gas", "natural-gas", "currencies", "forex", "housing",
        "mortgage-rates", "macro-indicators",
    ),
    "Earnings / Business": (
        "earnings", "earnings-calls", "stocks", "stock-prices", "equities", "indices",
        "s-p-500", "spx", "nasdaq", "dow-jones", "ipos", "acquisitions", "mergers", "companies",
        "big-tech", "ai", "openai", "chatgpt", "anthropic", "claude", "gemini", "gemini-3",
        "grok", "xai", "deepseek", "llm", "apple", "microsoft", "amazon", "meta", "nvidia",
        "tesla", "spacex", "netflix-earnings", "nvda", "tsla", "aapl", "msft", "amzn", "googl",
        "goog", "pltr", "palantir", "layoffs", "ceo", "largest-company", "apps", "app-store",
    ),
    "Crypto / DeFi": (
        "cryptocurrency", "crypto-prices", "bitcoin", "btc", "ethereum", "eth", "solana", "sol",
        "xrp", "ripple", "dogecoin", "bnb", "memecoins", "altcoins", "defi", "airdrops",
        "token-launch", "token-sales", "stablecoins", "nfts", "microstrategy", "mstr",
        "hyperliquid", "binance", "coinbase", "ftx", "up-or-down-crypto", "pre-market",
        "crypto-policy", "etf-crypto", "opensea", "pump-fun",
    ),
    "Sports": (
        "soccer", "football", "nfl", "nba", "wnba", "mlb", "nhl", "ncaa", "cfb", "cbb", "ncaab",
        "college-football", "college-basketball", "basketball", "baseball", "hockey", "tennis",
        "golf", "pga", "cricket", "ipl", "rugby", "ufc", "mma", "boxing", "f1", "formula-1",
        "nascar", "motogp", "chess", "poker", "esports", "league-of-legends", "dota-2",
        "counter-strike-2", "cs2", "valorant", "epl", "premier-league", "champions-league",
        "ucl", "europa-league", "uef-qualifiers", "la-liga", "bundesliga", "serie-a", "ligue-1",
        "mls", "fifa-world-cup", "world-cup", "world-series", "super-bowl", "nba-playoffs",
        "nba-finals", "nba-draft", "nfl-draft", "stanley-cup", "olympics", "winter-olympics",
        "march-madness", "atp", "wta", "wimbledon", "us-open", "masters", "ryder-cup",
        "heisman", "table-tennis", "cycling", "tour-de-france",
    ),
    "Pop Culture / Media": (
        "movies", "film", "box-office", "rotten-tomatoes", "music", "spotify", "billboard",
        "albums", "tv", "television", "reality-tv", "netflix", "streaming", "celebrities",
        "celebrity", "awards", "oscars", "grammys", "emmys", "golden-globes", "taylor-swift",
        "mrbeast", "youtube", "twitch", "tweet-markets", "tweets-markets", "tweets", "creators",
        "influencers", "video-games", "gaming", "gta-vi", "art", "books",
        "time-person-of-the-year", "eurovision", "halftime", "google-search", "best-of-2024",
        "best-of-2025", "best-of-2026", "kanye", "drake", "diddy", "combs", "hollywood", "kpop",
        "anime", "twitter", "elon-tweets",
    ),
    "Weather / Disaster": (
        "weather", "temperature", "daily-temperature", "highest-temperature", "climate",
        "climate-change", "climate-weather", "climate-science", "global-temp", "hurricanes",
        "storms", "tornadoes", "snow", "rain", "earthquakes", "volcanoes", "volcano", "tornado",
        "tropical-storm", "tsunami", "asteroid", "h5n1", "mpox", "wildfires", "floods",
        "natural-disasters", "disasters", "pandemics", "coronavirus", "covid-19", "bird-flu",
        "measles",
    ),
}  # fmt: skip
# Specific tags that say where.
COUNTRIES = frozenset((
    "middle-east", "ukraine", "russia", "israel", "iran", "gaza", "palestine", "lebanon", "syria",
    "yemen", "iraq", "saudi-arabia", "qatar", "uae", "turkey", "egypt", "afghanistan", "venezuela",
    "china", "taiwan", "hong-kong", "north-korea", "south-korea", "japan", "india", "pakistan",
    "thailand", "cambodia", "vietnam", "philippines", "nepal", "germany", "france", "uk",
    "united-kingdom", "poland", "romania", "spain", "portugal", "greece", "europe", "eu", "canada",
    "mexico", "brazil", "argentina", "chile", "cuba", "greenland", "denmark", "sudan", "somalia",
))  # fmt: skip
# Tags that many markets of a category have, and some of others.
GENERIC: Mapping[str, tuple[str, ...]] = {
    "Politics / Geopolitics": (
        "politics", "us-politics", "global-politics", "us-current-affairs", "world-affairs",
        "trump-presidency", "courts", "legal",
    ),
    "Earnings / Business": (
        "business", "finance", "elon-musk",
    ),
    "Crypto / DeFi": (
        "crypto",
    ),
    "Sports": (
        "sports", "games",
    ),
    "Pop Culture / Media": (
        "pop-culture", "entertainment",
    ),
}  # fmt: skip
# Tags that stand beside those of any category.
FAINT: Mapping[str, tuple[str, ...]] = {
    "Politics / Geopolitics": (
        "world", "trump",
    ),
    "Earnings / Business": (
        "tech", "technology", "google", "facebook", "tiktok",
    ),
    "Pop Culture / Media": (
        "culture",
    ),
}  # fmt: skip

# All tags of each category, the specific ones first.
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    name: (*tags, *GENERIC.get(name, ()), *FAINT.get(name, ())) for name, tags in SPECIFIC.items()
}
NAMES = (*CATEGORIES, UNCATEGORIZED)

_RANKS = {name: rank for rank, name in enumerate(CATEGORIES)}
# Points of one tag. However many generic tags a market has, they never make up for a specific one.
_POINTS = {"specific": 1000, "country": 998, "generic": 2, "faint": 1}
_LEVELS = {"specific": SPECIFIC, "generic": GENERIC, "faint": FAINT}
_BETWEEN = re.compile(r"[^a-z0-9]+")


def _plain(tag: str) -> str:
    return _BETWEEN.sub("", tag.lower()).removesuffix("s")


@dataclass(frozen=True)
class Word:
    """What one tag says. `kind`: a key of `_POINTS`; '' with no category: nothing."""

    tag: str
    category: str = ""
    kind: str = ""

    @property
    def points(self) -> int:
        """How much it counts for its category."""
        return _POINTS.get(self.kind, 0)


_WORDS = {
    _plain(tag): Word(tag, category, "country" if tag in COUNTRIES else kind)
    for kind, listed in _LEVELS.items()
    for category, tags in listed.items()
    for tag in tags
}


def explain(tags: Iterable[str]) -> list[Word]:
    """What each tag says, in their order; of tags that are one the first alone."""
    words: dict[str, Word] = {}
    for tag in tags:
        if plain := _plain(tag):
            known = _WORDS.get(plain, Word(tag))
            words.setdefault(plain, Word(tag, known.category, known.kind))
    return list(words.values())


def points(words: Iterable[Word]) -> dict[str, int]:
    """Points of each category that has any."""
    totals: dict[str, int] = {}
    for word in words:
        if word.points:
            totals[word.category] = totals.get(word.category, 0) + word.points
    return totals


def category_of(tags: Iterable[str]) -> str:
    """The category of these tags."""
    totals = points(explain(tags))
    return max(CATEGORIES, key=lambda name: totals.get(name, 0)) if totals else UNCATEGORIZED


def category_sql(tags: str) -> str:
    """The same in SQL; `tags` is an expression for an Array(String)."""
    plain = "replaceRegexpOne(replaceRegexpAll(lower(tag), '[^a-z0-9]+', ''), 's$', '')"
    # A tag is one number: 10,000 by its category, and its points.
    codes = [_RANKS[word.category] * 10_000 + word.points for word in _WORDS.values()]
    said = (
        f"arrayMap(tag -> transform(tag, {_array(_WORDS)}, {codes}, 0), "
        f"arrayDistinct(arrayMap(tag -> {plain}, {tags})))"
    )
    totals = (
        "arrayMap(rank -> arraySum(arrayMap(code -> "
        f"if(intDiv(code, 10000) = rank, code % 10000, 0), said)), range({len(CATEGORIES)}))"
    )
    none = statements.quoted(UNCATEGORIZED)
    best = f"{_array(CATEGORIES)}[indexOf(totals, arrayMax(totals))]"
    return (
        f"arrayMap(said -> arrayMap(totals -> if(arrayMax(totals) = 0, {none}, {best}), "
        f"[{totals}])[1], [{said}])[1]"
    )


def _array(texts: Iterable[str]) -> str:
    return f"[{', '.join(statements.quoted(text) for text in texts)}]"
