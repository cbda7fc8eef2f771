"""A faithful local Polymarket: Data API v2, Gamma keyset lists and CLOB `/markets`.

Written from the description of the live services, not from the client of `polybackfill`: the two
share no code, so that one cannot hide the other's mistake. Nothing here imports that package.
"""
