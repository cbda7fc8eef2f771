"""Eight categories from tags: which tag means what, and which wins when several do.

Modern markets carry no category, only tags, several of them. A tag is compared in its plain form:
lower case, everything but letters and digits a single dash ("Fed Rates" → "fed-rates"), so labels
and slugs are the same. Of several matches the category that stands first here wins; a market none
of whose tags is listed is Uncategorized. The old `category` field of Gamma counts as one more tag.

The eight categories are those of the seed's repository; the tags are the topics of Polymarket's own
menu and the most frequent ones of 5,711 recorded markets (2023-01 to 2026-04), read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from polybackfill.store import statements

UNCATEGORIZED = "Uncategorized"

# In order of priority.
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "Politics / Geopolitics": (
        "politics", "geopolitics", "elections", "election", "global-elections", "world-elections",
        "us-elections", "us-election", "us-politics", "us-current-affairs", "global-politics",
        "world", "world-affairs", "foreign-policy", "international-relations", "middle-east",
        "ukraine", "russia", "ukraine-russia", "putin", "zelenskyy", "israel", "iran", "gaza",
        "palestine", "lebanon", "hezbollah", "hamas", "syria", "yemen", "venezuela", "china",
        "taiwan", "north-korea", "nato", "war", "military-strikes", "military-action",
        "nuclear", "diplomacy-ceasefire", "ukraine-peace-deal", "trump", "trump-presidency",
        "trump-cabinet", "biden", "harris", "vance", "congress", "senate", "house",
        "house-of-representatives", "primaries", "midterms", "governor", "mayor", "president",
        "presidential", "cabinet", "supreme-court", "scotus", "courts", "legal", "immigration",
        "epstein", "pope", "next-pope", "uk-politics", "europe-politics",
    ),
    "Macro / Economy": (
        "economy", "economic-policy", "macro", "fed", "fed-rates", "fomc", "jerome-powell",
        "interest-rates", "inflation", "cpi", "gdp", "jobs", "jobs-report", "unemployment",
        "recession", "treasury", "treasuries", "tariffs", "trade-war", "trade-deal", "taxes",
        "debt-ceiling", "government-shutdown", "central-banks", "ecb", "commodities", "oil", "gold",
        "silver", "gas", "currencies", "forex", "housing", "macro-indicators",
    ),
    "Earnings / Business": (
        "business", "earnings", "earnings-calls", "stocks", "equities", "finance", "indices",
        "s-p-500", "nasdaq", "ipos", "ipo", "acquisitions", "mergers", "companies", "big-tech",
        "tech", "technology", "ai", "openai", "google", "apple", "microsoft", "amazon", "meta",
        "nvidia", "tesla", "spacex", "elon-musk", "layoffs", "ceo",
    ),
    "Crypto / DeFi": (
        "crypto", "cryptocurrency", "crypto-prices", "bitcoin", "btc", "ethereum", "eth", "solana",
        "sol", "xrp", "ripple", "dogecoin", "bnb", "memecoins", "defi", "airdrops", "token-launch",
        "token-sales", "stablecoins", "nfts", "nft", "microstrategy", "hyperliquid", "binance",
        "coinbase", "ftx", "up-or-down-crypto", "pre-market",
    ),
    "Sports": (
        "sports", "games", "soccer", "football", "nfl", "nba", "wnba", "mlb", "nhl", "ncaa", "cfb",
        "cbb", "ncaab", "college-football", "college-basketball", "basketball", "baseball",
        "hockey", "tennis", "golf", "pga", "cricket", "rugby", "ufc", "mma", "boxing", "f1",
        "formula-1", "nascar", "chess", "poker", "esports", "league-of-legends", "dota-2",
        "counter-strike-2", "cs2", "valorant", "epl", "premier-league", "champions-league", "ucl",
        "europa-league", "la-liga", "bundesliga", "serie-a", "ligue-1", "mls", "fifa-world-cup",
        "world-cup", "world-series", "super-bowl", "nba-playoffs", "nba-finals", "stanley-cup",
        "olympics", "march-madness", "atp", "wta", "wimbledon", "us-open",
    ),
    "Pop Culture / Media": (
        "pop-culture", "culture", "entertainment", "movies", "film", "box-office",
        "rotten-tomatoes", "music", "spotify", "billboard", "albums", "tv", "television",
        "reality-tv", "netflix", "streaming", "celebrities", "celebrity", "awards", "oscars",
        "grammys", "emmys", "golden-globes", "taylor-swift", "mrbeast", "youtube", "tiktok",
        "twitter", "tweet-markets", "creators", "influencers", "video-games", "gaming", "gta-vi",
        "art", "books", "time-person-of-the-year", "eurovision",
    ),
    "Weather / Disaster": (
        "weather", "temperature", "daily-temperature", "highest-temperature", "climate",
        "climate-change", "climate-weather", "climate-science", "global-temp", "hurricanes",
        "hurricane", "storms", "tornadoes", "snow", "rain", "earthquakes", "earthquake",
        "volcanoes", "wildfire", "wildfires", "floods", "natural-disasters", "disaster",
        "disasters", "pandemics", "coronavirus", "covid-19",
    ),
}  # fmt: skip

NAMES = (*CATEGORIES, UNCATEGORIZED)


_PLAIN = re.compile(r"[^a-z0-9]+")
_PLACES = {tag: place for place, listed in enumerate(CATEGORIES.values()) for tag in listed}


def category_of(tags: Iterable[str]) -> str:
    """The category of these tags."""
    plain = (_PLAIN.sub("-", tag.lower()).strip("-") for tag in tags)
    return NAMES[min((_PLACES.get(tag, len(CATEGORIES)) for tag in plain), default=-1)]


def category_sql(tags: str) -> str:
    """The same in SQL; `tags` is an expression for an Array(String)."""
    plain = "trim(BOTH '-' FROM replaceRegexpAll(lower(tag), '[^a-z0-9]+', '-'))"
    places = (
        f"arrayMap(tag -> transform({plain}, {_array(_PLACES)}, "
        f"{list(_PLACES.values())}, {len(CATEGORIES)}), {tags})"
    )
    # One more that means none: there is no smallest of an empty array.
    best = f"arrayMin(arrayPushBack({places}, {len(CATEGORIES)}))"
    return (
        f"transform({best}, {list(range(len(NAMES)))}, {_array(NAMES)}, "
        f"{statements.quoted(UNCATEGORIZED)})"
    )


def _array(texts: Iterable[str]) -> str:
    return f"[{', '.join(statements.quoted(text) for text in texts)}]"
