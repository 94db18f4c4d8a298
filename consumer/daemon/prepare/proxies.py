"""Tells by which proxy each service is asked, and makes the JVM read `no_proxy` as everything else does.

botocore, google-auth, requests and the KCL's AWS SDK find the proxy in the environment themselves, shard processes by
consumer/sinks/http/proxies.py. What they read is the same but for `all_proxy`, which AWS's libraries do not know.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from consumer.settings import Settings
from consumer.sinks.http.proxies import Proxy, http_proxy_of, proxy_of, unusable

_NO_PROXY = ("no_proxy", "NO_PROXY")
_OWN_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_GRPC_PROXY = "grpc_proxy"
_METADATA = "http://169.254.169.254"

BIGQUERY = "https://bigquery.googleapis.com"
STORAGE_WRITE = "https://bigquerystorage.googleapis.com"


@dataclass(frozen=True, slots=True)
class _Asked:
    what: str
    url: str


def proxy_lines(settings: Settings) -> list[str]:
    """One line for each proxy, and one for what is asked without; none where no proxy is used at all. Raises SetupError
    for one that cannot be used."""
    ways: dict[Proxy | None, list[str]] = {}
    for asked in _aws(settings):
        ways.setdefault(_proxy_for_aws(asked.url), []).append(asked.what)
    for asked in _google(settings):
        ways.setdefault(http_proxy_of(asked.url), []).append(asked.what)
    if not any(ways):
        return []
    lines = [
        f"{proxy.variable}: {', '.join(names)} by the proxy {proxy}" for proxy, names in ways.items() if proxy
    ]
    return [*lines, *([f"without a proxy: {', '.join(ways[None])}"] if None in ways else [])]


def metadata_warning(environment: Mapping[str, str]) -> str | None:
    """Where botocore would ask a proxy for the credentials of the instance, which only the instance itself can get."""
    if (
        any(map(environment.get, _OWN_KEYS))
        or environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    ):
        return None
    proxy = _proxy_for_aws(_METADATA)
    if proxy is None:
        return None
    host = urlsplit(_METADATA).hostname
    return f"{proxy.variable}: an instance's credentials are asked for by the proxy {proxy}: add {host} to NO_PROXY"


def no_proxy_for_java(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables as the KCL's AWS SDK reads them: to it a name stands for itself alone, and needs a star to stand
    for all that end with it. Others take no notice of names with stars."""
    found = {name: environment[name] for name in _NO_PROXY if environment.get(name)}
    return {name: ",".join(dict.fromkeys(_with_stars(hosts))) for name, hosts in found.items()}


def _with_stars(hosts: str) -> Iterator[str]:
    for host in filter(None, map(str.strip, hosts.split(","))):
        yield host
        bare = host.lstrip(".")
        if bare and not set("*:/|") & set(bare):
            yield bare
            yield f"*.{bare}"


def _proxy_for_aws(url: str) -> Proxy | None:
    proxy = proxy_of(url)
    if proxy is None or proxy.is_for_all:
        return None
    if proxy.scheme not in ("http", "https"):
        raise unusable(proxy, url)
    return proxy


def _aws(settings: Settings) -> Iterator[_Asked]:
    region = settings.text("regionName")
    for name, key in (("Kinesis", "kinesisEndpoint"), ("DynamoDB", "dynamoDBEndpoint")):
        yield _Asked(name, settings.optional_text(key) or _aws_url(name, region))
    yield _Asked("STS", os.environ.get("AWS_ENDPOINT_URL_STS") or _aws_url("STS", region))
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
