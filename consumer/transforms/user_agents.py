"""User agents by ua-parser, whose rules are matched in Rust: the same in Python takes thirty times as long."""

from typing import Any

from ua_parser import Parser
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver

_parse = Parser(Resolver(load_builtins())).parse


def client_of(text: str) -> dict[str, Any]:
    """What is known of a client, without a member for what is not."""
    found = _parse(text)
    client: dict[str, Any] = {}
    if found.user_agent is not None:
        client["browser"] = found.user_agent.family
        client["browser_version"] = _version(found.user_agent)
    if found.os is not None:
        client["os"] = found.os.family
        client["os_version"] = _version(found.os)
    if found.device is not None:
        client |= {
            "device": found.device.family,
            "brand": found.device.brand,
            "model": found.device.model,
        }
    return {name: value for name, value in client.items() if value}


def _version(found: Any) -> str:
    parts = (found.major, found.minor, found.patch, found.patch_minor)
    return ".".join(part for part in parts if part)
