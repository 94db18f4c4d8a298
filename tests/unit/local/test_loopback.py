from consumer.local.loopback import without_proxy


def test_the_stack_is_asked_directly_and_what_was_asked_so_before_too() -> None:
    expected = {"no_proxy": "example.com,127.0.0.1", "NO_PROXY": "example.com,127.0.0.1"}
    assert without_proxy({"NO_PROXY": "example.com", "HTTP_PROXY": "http://p:1"}) == expected
    assert without_proxy({"no_proxy": "example.com", "NO_PROXY": "other"}) == expected
    assert without_proxy({}) == {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
