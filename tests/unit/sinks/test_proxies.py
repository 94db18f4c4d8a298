"""Which proxy the variables of the environment name for an address."""

import pytest

from consumer.domain.errors import SetupError
from consumer.sinks.http.proxies import Proxy, http_proxy_of, proxy_of, refused_tunnel

GOOGLE = "https://bigquery.googleapis.com"
HERE = "http://127.0.0.1:9050/path"


def chosen(monkeypatch: pytest.MonkeyPatch, url: str, **variables: str) -> tuple[str, str] | None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_of(url)
    return None if proxy is None else (proxy.variable, str(proxy))


@pytest.mark.parametrize(
    ("url", "variables", "expected"),
    [
        (GOOGLE, {}, None),
        (GOOGLE, {"HTTPS_PROXY": "http://p:3128"}, ("HTTPS_PROXY", "p:3128")),
        (GOOGLE, {"https_proxy": "http://p:3128", "HTTPS_PROXY": "http://q:1"}, ("https_proxy", "p:3128")),
        (GOOGLE, {"HTTPS_PROXY": "p:3128"}, ("HTTPS_PROXY", "p:3128")),
        (GOOGLE, {"HTTPS_PROXY": "http://p"}, ("HTTPS_PROXY", "p:80")),
        (GOOGLE, {"HTTPS_PROXY": "http://[fd00::1]:3128/"}, ("HTTPS_PROXY", "[fd00::1]:3128")),
        (GOOGLE, {"HTTPS_PROXY": ""}, None),
        (GOOGLE, {"https_proxy": "", "HTTPS_PROXY": "http://q:1"}, None),
        (GOOGLE, {"HTTP_PROXY": "http://p:3128"}, None),
        (HERE, {"HTTP_PROXY": "http://p:3128"}, ("HTTP_PROXY", "p:3128")),
        (HERE, {"HTTPS_PROXY": "http://p:3128"}, None),
        (GOOGLE, {"ALL_PROXY": "http://p:3128"}, ("ALL_PROXY", "p:3128")),
        (GOOGLE, {"all_proxy": "http://p:1", "https_proxy": "http://q:2"}, ("https_proxy", "q:2")),
        (GOOGLE, {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": ".googleapis.com"}, None),
        (GOOGLE, {"HTTPS_PROXY": "http://p:3128", "no_proxy": "x, googleapis.com"}, None),
        (GOOGLE, {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "*"}, None),
        (GOOGLE, {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "apis.com"}, ("HTTPS_PROXY", "p:3128")),
        (HERE, {"HTTP_PROXY": "http://p:3128", "NO_PROXY": "127.0.0.1:9050"}, None),
        (HERE, {"HTTP_PROXY": "http://p:3128", "NO_PROXY": "127.0.0.1:1"}, ("HTTP_PROXY", "p:3128")),
    ],
)
def test_the_variables_count_as_they_do_for_urllib(
    monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str], expected: tuple[str, str] | None
) -> None:
    assert chosen(monkeypatch, url, **variables) == expected


def test_a_user_and_a_password_go_to_the_proxy_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me%40corp:s%3Acret@p:3128")
    proxy = proxy_of(GOOGLE)
    assert proxy is not None
    assert proxy.headers() == {"Proxy-Authorization": "Basic bWVAY29ycDpzOmNyZXQ="}
    assert proxy.url() == "http://me%40corp:s%3Acret@p:3128"
    assert "cret" not in f"{proxy} {proxy!r}"
    assert Proxy("x", "http", "p", 1).headers() == {}


@pytest.mark.parametrize(
    "value",
    ["http://me:secret@:3128", "http://me:secret@p:port", "http://[me:secret", "http://", "://secret"],
)
def test_what_is_no_address_is_said_without_what_it_holds(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(SetupError, match=r"^no address of a proxy.*\(see HTTPS_PROXY\)$") as caught:
        proxy_of(GOOGLE)
    assert "secret" not in str(caught.value)
    assert caught.value.setting == "HTTPS_PROXY"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", ["socks5://p:1080", "https://p:443"])
def test_a_proxy_of_another_kind_is_said(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("all_proxy", value)
    with pytest.raises(SetupError, match=r"cannot be used for bigquery\.googleapis\.com.*\(see all_proxy\)"):
        http_proxy_of(GOOGLE)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "OSError('Tunnel connection failed: 407 Proxy Authentication Required')",
            "wants a user and password",
        ),
        ("Tunnel connection failed: 403 Forbidden", "does not let this host through"),
        ("Tunnel connection failed: 429 Too Many", None),
        ("Tunnel connection failed: 503 Service Unavailable", None),
        ("HTTP 407", None),
    ],
)
def test_a_refusal_of_urllib3_is_told_from_an_outage(
    monkeypatch: pytest.MonkeyPatch, said: str, expected: str | None
) -> None:
    monkeypatch.setenv("https_proxy", "http://p:3128")
    refused = refused_tunnel(Exception(said), GOOGLE)
    if expected is None:
        assert refused is None
    else:
        assert expected in str(refused)
        assert "p:3128" in str(refused)
        assert "(see https_proxy)" in str(refused)
