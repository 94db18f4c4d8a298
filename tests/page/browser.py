"""Chromium by way of chromedriver, as far as the tests of the page need it: the W3C's WebDriver protocol over HTTP."""

import base64
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SECONDS = 60
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
)


def missing() -> str | None:
    """What has to be installed before a browser can run; None where nothing is missing."""
    if shutil.which("chromedriver") is None:
        return "no chromedriver: apt-get install chromium chromium-driver"
    if axe() is None:
        return "no axe-core: npm install axe-core, and AXE_CORE=…/node_modules/axe-core/axe.min.js"
    return None


def axe() -> Path | None:
    """The script that looks for what people with disabilities cannot use."""
    path = Path(os.environ.get("AXE_CORE") or "node_modules/axe-core/axe.min.js")
    return path if path.is_file() else None


class Browser:
    """One window. Calls raise urllib's HTTPError where the driver refuses."""

    def __init__(self, driver: str) -> None:
        self._driver = driver
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": _OPTIONS},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"/session/{answer['sessionId']}"

    def close(self) -> None:
        self._ask("DELETE", self._session)

    def open(self, url: str) -> None:
        self._ask("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What the script returns; promises are waited for."""
        return self._ask("POST", f"{self._session}/execute/sync", {"script": script, "args": arguments})

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def title(self) -> str:
        return str(self._ask("GET", f"{self._session}/title"))

    def console(self) -> list[str]:
        """What was written there since it was last asked for, in levels from warnings on."""
        entries = self._ask("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    def look(self, *, width: int, dark: bool = False) -> None:
        """From now on as on a screen of this width."""
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", {"features": [scheme]})

    def without_scripts(self, off: bool) -> None:
        self._devtools("Emulation.setScriptExecutionDisabled", {"value": off})

    def shot(self, path: Path) -> None:
        """The whole page as PNG."""
        answer = self._devtools("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"})
        path.write_bytes(base64.b64decode(answer["data"]))

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self._devtools(
                "Input.dispatchKeyEvent", {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": 9}
            )

    def faults(self) -> list[str]:
        """What axe-core finds, a line each."""
        script = axe()
        assert script is not None
        self.run(script.read_text(encoding="utf-8"))
        found = self.run("return axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{rule['id']}: {node['html']}: {node.get('failureSummary')}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    def _devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self._ask("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            self._driver + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_SECONDS) as answer:
            return json.load(answer)["value"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Runs within the block."""
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert driver.stdout is not None
        said = next(line for line in driver.stdout if "started successfully on port" in line)
        browser = Browser(f"http://127.0.0.1:{said.rpartition(' ')[2].strip().rstrip('.')}")
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait()
        if driver.stdout is not None:
            driver.stdout.close()
