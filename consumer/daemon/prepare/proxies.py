"""Tells by which proxy each service is asked, and makes the KCL ask AWS by the proxy that botocore takes.

botocore, google-auth and requests find the proxy in the environment themselves, shard processes by
consumer/sinks/http/proxies.py. What they read is the same but for `all_proxy`, which AWS's libraries do not know.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies

from consumer.domain.errors import SetupError
from consumer.settings import Settings
from consumer.sinks.http.proxies import Proxy, http_proxy_of, proxy_of, unusable

_METADATA = ("169.254.169.254", "[fd00:ec2::254]")
"""Where an instance asks for its credentials: a proxy would get its own, or none."""
_GRPC_PROXY = "grpc_proxy"
_PROXY_HOST = "-Dhttp.proxyHost="

BIGQUERY = "https://bigquery.googleapis.com"
STORAGE_WRITE = "https://bigquerystorage.googleapis.com"


@dataclass(frozen=True, slots=True)
class _Asked:
    what: str
    url: str


def proxy_lines(settings: Settings) -> list[str]:
    """One line for each proxy, and one for what is asked without; none where no proxy is used at all. Raises SetupError
    for one that cannot be used."""
    java_options(settings)
    ways: dict[Proxy | None, list[str]] = {}
    for asked in [*_kcl(settings), *_s3(settings)]:
        ways.setdefault(_proxy_for_aws(asked.url), []).append(asked.what)
    for asked in _google(settings):
        ways.setdefault(http_proxy_of(asked.url), []).append(asked.what)
    if not any(ways):
        return []
    lines = [
        f"{proxy.variable}: {', '.join(names)} by the proxy {proxy}" for proxy, names in ways.items() if proxy
    ]
    return [*lines, *([f"without a proxy: {', '.join(ways[None])}"] if None in ways else [])]


def exempt_metadata(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables with which an instance's credentials are asked for directly, by botocore and google-auth as well;
    empty where that is so anyway."""
    present = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    proxies = {name.lower() for name in environment if name.lower().endswith("_proxy")} - {"no_proxy"}
    if present.strip() == "*" or not proxies:
        return {}
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(filter(None, (present, *_METADATA))))


def java_options(settings: Settings) -> list[str]:
    """Options for the JVM with which the KCL asks AWS by the proxy of botocore. None where jvm.options name one.

    By itself the KCL's AWS SDK asks whatever address by the proxy of HTTP_PROXY or `-Dhttp.proxyHost`, never by that of
    HTTPS_PROXY or `-Dhttps.proxyHost`; takes a percent-encoded password as it stands; and needs a star in NO_PROXY for
    hosts that end alike. Raises SetupError if the proxies of its addresses differ.
    """
    if _PROXY_HOST in settings.text("jvm.options"):
        return []
    asked = [(one, _proxy_for_kcl(one.url)) for one in _kcl(settings)]
    proxies: dict[str, tuple[_Asked, Proxy]] = {}
    for one, proxy in asked:
        if proxy is not None:
            proxies.setdefault(proxy.url(), (one, proxy))
    if not proxies:
        return [f"{_PROXY_HOST}none", "-Dhttp.nonProxyHosts=*"] if "http" in getproxies() else []
    (first, proxy), *others = proxies.values()
    if others:
        other, differs = others[0]
        raise SetupError(
            f"the KCL has one proxy for all that it asks: not {proxy} for {first.what} and {differs} for {other.what}",
            setting=differs.variable,
        )
    direct = [urlsplit(one.url).hostname or "" for one, proxy in asked if not proxy]
    options = {
        "proxyHost": proxy.host,
        "proxyPort": str(proxy.port),
        "nonProxyHosts": "|".join((*direct, *_patterns(getproxies().get("no", "")), *_METADATA, "169.254.*")),
    }
    if proxy.user is not None:
        options |= {"proxyUser": proxy.user, "proxyPassword": proxy.password}
    return [f"-Dhttp.{name}={text}" for name, text in options.items()]


def _patterns(no_proxy: str) -> Iterator[str]:
    """Names of NO_PROXY, each of which stands for all that end with it, as the AWS SDK spells them. It does not look at
    ports: hosts that an entry with one exempts come from `java_options`."""
    for name in no_proxy.split(","):
        bare = name.strip().lstrip(".")
        if re.fullmatch(r"[\w.-]+", bare):  # to the SDK it is a regular expression
            yield from (bare, f"*.{bare}")


def _proxy_for_kcl(url: str) -> Proxy | None:
    proxy = _proxy_for_aws(url)
    if proxy is not None and proxy.scheme != "http":
        raise unusable(proxy, url)
    return proxy


def _proxy_for_aws(url: str) -> Proxy | None:
    proxy = proxy_of(url)
    if proxy is None or proxy.is_for_all:
        return None
    if proxy.scheme not in ("http", "https"):
        raise unusable(proxy, url)
    return proxy


def _kcl(settings: Settings) -> Iterator[_Asked]:
    """What the KCL asks; so does the supervisor, but for CloudWatch."""
    region = settings.text("regionName")
    for name, key in (("Kinesis", "kinesisEndpoint"), ("DynamoDB", "dynamoDBEndpoint")):
        yield _Asked(name, settings.optional_text(key) or _aws_url(name, region))
    yield _Asked("CloudWatch", _aws_url("monitoring", region))
    yield _Asked("STS", os.environ.get("AWS_ENDPOINT_URL_STS") or _aws_url("STS", region))


def _s3(settings: Settings) -> Iterator[_Asked]:
    yield _Asked(
        "S3", settings.optional_text("s3.endpoint_url") or _aws_url("S3", settings.text("s3.region"))
    )


def _aws_url(service: str, region: str) -> str:
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{service.lower()}.{region}.{domain}"


def _google(settings: Settings) -> Iterator[_Asked]:
    if settings.backend != "bigquery":
        return
    yield _Asked("BigQuery", settings.optional_text("bigquery.api_endpoint") or BIGQUERY)
    if settings.text("bigquery.method") == "storage_write" and not os.environ.get(_GRPC_PROXY):
        endpoint = settings.optional_text("bigquery.storage_endpoint")
        yield _Asked("its Storage Write API", endpoint or STORAGE_WRITE)
    if settings.text("bigquery.credentials") != "anonymous":
        yield _Asked("Google's tokens", "https://sts.googleapis.com")
