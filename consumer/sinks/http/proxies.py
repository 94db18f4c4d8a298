"""Which proxy a request goes by: what the variables of the environment say that the standard library's urllib reads.

`https_proxy`, `http_proxy` by the scheme of the address, else `all_proxy`, and `no_proxy` for hosts that are asked
directly; in lower case, which counts more, or in upper case.
"""

import base64
import os
import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from consumer.domain.errors import SetupError

ALL = "all"
PASSING = frozenset({408, 429})
"""Statuses below 500 that a proxy answers for no lasting reason."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """`variable` is the name under which the environment holds it. Nothing shows user or password, which are secret."""

    variable: str
    scheme: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_for_all(self) -> bool:
        return self.variable.lower() == f"{ALL}_proxy"

    def headers(self) -> dict[str, str]:
        """What tells the proxy who asks."""
        if self.user is None:
            return {}
        secret = base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
        return {"Proxy-Authorization": f"Basic {secret}"}

    def url(self) -> str:
        """With user and password: for a client, not for a log."""
        user = "" if self.user is None else f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@"
        return f"{self.scheme}://{user}{self}"


def proxy_of(url: str) -> Proxy | None:
    """None where the server is asked directly. Raises SetupError for a proxy that is none; its address, which may hold
    a password, is not told."""
    address = urlsplit(url)
    proxies = getproxies()
    name = address.scheme if address.scheme in proxies else ALL
    if not proxies.get(name) or proxy_bypass(address.netloc):
        return None
    return _parsed(_variable(name), proxies[name])


def http_proxy_of(url: str) -> Proxy | None:
    """As `proxy_of`, for clients that speak to a proxy itself without TLS. Raises SetupError for any other proxy."""
    proxy = proxy_of(url)
    if proxy is not None and proxy.scheme != "http":
        raise unusable(proxy, url)
    return proxy


def unusable(proxy: Proxy, url: str) -> SetupError:
    """For a proxy of a kind that the client of an address does not know."""
    return SetupError(
        f"a proxy of {proxy.scheme}:// cannot be used for {urlsplit(url).hostname}, one of http:// can",
        setting=proxy.variable,
    )


def refused_by(proxy: Proxy, status: int, host: str) -> SetupError:
    """For a proxy that lets nobody through to a server until somebody mends that."""
    what = "wants a user and password, or others" if status == 407 else "does not let this host through"
    return SetupError(f"the proxy {proxy} {what}: it answers {status} for {host}", setting=proxy.variable)


def refused_tunnel(error: object, url: str) -> SetupError | None:
    """What urllib3, and all that is built upon it, raises where a proxy refuses to connect to the server of an address;
    None for anything else."""
    found = re.search(r"Tunnel connection failed: (4\d\d)\b", str(error))
    proxy = proxy_of(url) if found else None
    if found is None or proxy is None or int(found[1]) in PASSING:
        return None
    return refused_by(proxy, int(found[1]), str(urlsplit(url).hostname))


def _variable(name: str) -> str:
    """The one in lower case if it is set, as urllib has it."""
    wanted = f"{name}_proxy"
    return wanted if os.environ.get(wanted) else next(one for one in os.environ if one.lower() == wanted)


def _parsed(variable: str, text: str) -> Proxy:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host:
        raise SetupError("no address of a proxy, as http://HOST:PORT is", setting=variable)
    user = None if parts.username is None else unquote(parts.username)
    default = 443 if parts.scheme == "https" else 80
    return Proxy(variable, parts.scheme, host, port or default, user, unquote(parts.password or ""))
