"""buildah, podman and runc without a docker engine and without an image registry.

Images and containers are kept in a storage of their own below var/container, so that a second run builds from
cached layers. Where no base image is named, one is made of the machine's Debian mirror: it is for tests only.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOOLS = ("buildah", "podman", "runc")
BASE = "localhost/python:3.13-slim-trixie"
IMAGE = "localhost/consumer:test"
BASE_VARIABLE = "CONSUMER_CONTAINER_BASE"
_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")

_ADD_CERTIFICATES = """\
mkdir -p "$1/usr/local/share/ca-certificates"
cp /etc/ssl/certs/ca-certificates.crt "$1/usr/local/share/ca-certificates/machine.crt"
chroot "$1" update-ca-certificates
"""
"""The package index may be behind a certificate that only this machine knows."""


class EngineError(Exception):
    """A command of the engine failed; the message ends with what it said."""


def missing() -> list[str]:
    """What this machine lacks for building and running an image."""
    lacking = [f"the command {tool}" for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0:
        lacking.append("root")
    if BASE_VARIABLE not in os.environ and shutil.which("mmdebstrap") is None:
        lacking.append(f"a base image ({BASE_VARIABLE}=IMAGE, or the command mmdebstrap to make one)")
    return lacking


@dataclass(frozen=True, slots=True)
class Container:
    """A running container, or an ended one."""

    engine: "Engine"
    id: str

    def signal(self, name: str) -> None:
        """To its first process only."""
        self.engine.podman("kill", "--signal", name, self.id)

    def wait(self) -> int:
        """Blocks until it has ended; its exit code."""
        return int(self.engine.podman("wait", self.id))

    def running(self) -> bool:
        return self.engine.podman("inspect", "--format", "{{.State.Running}}", self.id) == "true"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A further process in it, by the container's own user."""
        return self.engine.attempt("podman", "exec", self.id, *command)

    def log(self) -> str:
        done = self.engine.attempt("podman", "logs", self.id)
        return done.stdout + done.stderr

    def remove(self) -> None:
        self.engine.podman("rm", "--force", "--time", "0", "--volumes", self.id)


class Engine:
    """The tools on one storage. Blocks for as long as they run; raises EngineError when one fails."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        storage = directory / "storage.conf"
        storage.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{directory}/graph"\nrunroot = "{directory}/run"\n'
        )
        self._environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(storage)}

    def build(self) -> float:
        """Builds the Dockerfile as IMAGE; returns the seconds it took."""
        arguments = {"BASE": self._base()}
        if "PIP_INDEX_URL" in os.environ:
            arguments["PIP_INDEX_URL"] = os.environ["PIP_INDEX_URL"]
        began = time.monotonic()
        self._do(
            *("buildah", "bud", "--pull-never", "--isolation", "chroot", "--network", "host", "--layers"),
            *("--format", "docker"),  # the other format has no HEALTHCHECK
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            *("-t", IMAGE, str(ROOT)),
        )
        return time.monotonic() - began

    def inspect(self, image: str = IMAGE) -> Any:
        return json.loads(self.podman("image", "inspect", image))[0]

    def start(self, *arguments: str, options: Sequence[str] = ()) -> Container:
        """Runs IMAGE with its own entry point, on the host's network, behind our back."""
        name = self.podman("run", "--detach", *self._run_options(), *options, IMAGE, *arguments)
        return Container(self, name)

    def shell(self, script: str, *, options: Sequence[str] = ()) -> str:
        """What a shell in a new container of IMAGE prints."""
        return self.podman(
            "run", "--rm", *self._run_options(), *options, "--entrypoint", "/bin/sh", IMAGE, "-c", script
        )

    def podman(self, *arguments: str) -> str:
        return self._do("podman", "--runtime", "runc", "--log-level", "fatal", *arguments).strip()

    def attempt(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)

    def _run_options(self) -> tuple[str, ...]:
        return ("--network", "host", "--no-healthcheck", *_LIMITS)

    def _do(self, *command: str) -> str:
        done = self.attempt(*command)
        if done.returncode:
            raise EngineError(f"{' '.join(command)}: {done.stderr[-4000:]}")
        return done.stdout

    def _base(self) -> str:
        named = os.environ.get(BASE_VARIABLE)
        if named is None and self.attempt("podman", "image", "exists", BASE).returncode:
            self._make_base()
        return named or BASE

    def _make_base(self) -> None:
        release = f"Release: {self._do('sh', '-c', '. /etc/os-release; echo $VERSION_CODENAME').strip()}"
        mirrors = self._do("apt-get", "indextargets", "--format", "$(SITE)", release).split()
        tree = self._directory / "base.tar"
        self._do(
            *("mmdebstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates"),
            *(f"--customize-hook={_ADD_CERTIFICATES}", "trixie", str(tree), *mirrors[:1]),
        )
        self.podman("import", str(tree), BASE)
        tree.unlink()
