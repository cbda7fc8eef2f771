"""The way to an API that the environment names: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY.

As curl and requests read them, in either case. An API on this machine is asked directly, since a
proxy elsewhere could not reach it; the store never goes through one.
"""

from __future__ import annotations

import ipaddress
import urllib.request

from polybackfill import errors, redaction

_SCHEMES = ("http://", "https://")


def find_proxy(base: redaction.Url) -> redaction.Url | None:
    """The proxy for a base URL, None for the direct way.

    Raises errors.Stop for a kind of proxy that is not supported.
    """
    named = urllib.request.getproxies_environment()
    proxy = named.get(base.secret.partition(":")[0].lower()) or named.get("all")
    # Not `proxy_bypass`, which asks the system on some, where the environment names no proxy.
    bypassed = urllib.request.proxy_bypass_environment(base.host, named)  # type: ignore[attr-defined]
    if not proxy or bypassed or is_loopback(base.host):
        return None
    url = redaction.Url(proxy if "://" in proxy else f"http://{proxy}")
    if not url.secret.lower().startswith(_SCHEMES):
        raise errors.Stop(
            f"the environment names the proxy {url} for {base}; only http:// and https:// proxies "
            f"are supported: set HTTPS_PROXY to one, or NO_PROXY={base.host} to ask directly"
        )
    return url


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
