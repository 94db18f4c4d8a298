"""Imports point downwards only, and each third-party library stays in the few modules that are meant to know it."""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Which of our packages each one may import, itself aside.
LAYERS: dict[str, frozenset[str]] = {
    "consumer": frozenset(),
    "consumer.domain": frozenset(),
    "consumer.settings": frozenset({"consumer.domain"}),
    "consumer.native": frozenset({"consumer.domain"}),
    "consumer.sinks": frozenset({"consumer.domain", "consumer.native", "consumer.settings"}),
    "consumer.transforms": frozenset({"consumer.domain", "consumer.settings", "consumer.sinks"}),
    "consumer.shard": frozenset(
        {"consumer.domain", "consumer.native", "consumer.settings", "consumer.sinks", "consumer.transforms"}
    ),
    "consumer.daemon": frozenset(
        {"consumer", "consumer.domain", "consumer.settings", "consumer.sinks", "consumer.transforms"}
    ),
    "consumer.operate": frozenset(
        {
            "consumer",
            "consumer.daemon",
            "consumer.domain",
            "consumer.native",
            "consumer.settings",
            "consumer.sinks",
            "consumer.transforms",
        }
    ),
    "consumer.local": frozenset({"consumer.domain", "consumer.operate", "consumer.settings"}),
    "consumer.cli": frozenset(
        {"consumer", "consumer.daemon", "consumer.local", "consumer.operate"}
    ),  # it wires them
    "consumer.__main__": frozenset({"consumer.cli"}),
}

# Layers from which another may import these modules only.
NARROWED: dict[tuple[str, str], frozenset[str]] = {
    ("consumer.daemon", "consumer.sinks"): frozenset(
        {
            "consumer.sinks.aws",
            "consumer.sinks.bigquery.api.identity",
            "consumer.sinks.http.proxies",
            "consumer.sinks.trial",
        }
    ),  # the supervisor delivers nothing
    ("consumer.daemon", "consumer.transforms"): frozenset(
        {"consumer.transforms.trial"}
    ),  # and runs nobody's functions
    ("consumer.operate", "consumer.daemon"): frozenset(
        {
            "consumer.daemon.commands.arguments",
            "consumer.daemon.commands.running",
            "consumer.daemon.errors",
            "consumer.daemon.metrics",
            "consumer.daemon.prepare",
            "consumer.daemon.report.leases",
            "consumer.daemon.report.pause",
            "consumer.daemon.supervise.processes",
        }
    ),  # an operator's command runs beside the daemon, wherever that runs
    ("consumer.local", "consumer.operate"): frozenset({"consumer.operate.progress"}),
}

# The modules (with what lies beneath them) that may import a library. A new entry is a decision, not a formality.
LIBRARIES: dict[str, frozenset[str]] = {
    "amazon_kclpy": frozenset(
        {
            "consumer.shard.delivery.checkpointing",
            "consumer.shard.kcl.processor",
            "consumer.shard.kcl.protocol",
        }
    ),
    "boto3": frozenset(
        {
            "consumer.sinks.aws",
            "consumer.daemon.metrics.cloudwatch",
            "consumer.daemon.prepare.aws",
            "consumer.local.put",
            "consumer.local.stack",
            "consumer.transforms.pseudonyms",
        }
    ),
    "botocore": frozenset(
        {
            "consumer.sinks.aws",
            "consumer.sinks.bigquery.api.identity",
            "consumer.daemon.metrics.cloudwatch",
            "consumer.daemon.prepare.aws",
            "consumer.daemon.prepare.aws_checks",
            "consumer.daemon.prepare.aws_probes",
            "consumer.daemon.prepare.distances",
            "consumer.daemon.prepare.dynamodb",
            "consumer.daemon.prepare.leader_lock",
            "consumer.daemon.prepare.object_sizes",
            "consumer.daemon.prepare.lease_table",
            "consumer.daemon.prepare.pause_flag",
            "consumer.daemon.prepare.positions",
            "consumer.operate.replay.tables",
            "consumer.operate.stream",
            "consumer.local",
            "consumer.operate.catalogue.glue",
            "consumer.operate.checkpoint.tables",
        }
    ),
    "duckdb": frozenset({"consumer.local.bigquery"}),
    "gevent": frozenset({"consumer.shard"}),
    "google": frozenset(
        {
            "consumer.sinks.bigquery.storage_write.messages_pb2",
            "consumer.sinks.bigquery.api.token",
            "consumer.sinks.bigquery.api.identity",
            "consumer.daemon.prepare.bigquery_api",
            "consumer.daemon.prepare.bigquery_probes",
            "consumer.daemon.prepare.bigquery_tables",
            "consumer.daemon.prepare.bigquery_view",
            "consumer.local",
        }
    ),
    "grpc": frozenset(
        {
            "consumer.local.bigquery.storage_write",
            "consumer.local.limits.storage_write",
            "consumer.local.bill.appends",
            "consumer.shard.process.grpc_on_gevent",
            "consumer.sinks.bigquery.storage_write.calls",
            "consumer.sinks.bigquery.storage_write.packed",
            "consumer.sinks.bigquery.storage_write.writer",
        }
    ),
    "hypercorn": frozenset({"consumer.local.aws"}),
    "local_bigquery": frozenset({"consumer.local.bigquery"}),
    "moto": frozenset({"consumer.local.aws"}),
    "opentelemetry": frozenset({"consumer.daemon.metrics.otlp"}),
    "prometheus_client": frozenset({"consumer.daemon.metrics.text"}),
    "zstandard": frozenset({"consumer.operate.dead_letters.contents", "consumer.sinks.s3.ndjson"}),
    "rich": frozenset({"consumer.daemon.commands.status_screen"}),
    "pyarrow": frozenset(
        {
            "consumer.sinks.bigquery.arrow_rows.cells",
            "consumer.sinks.s3.parquet",
            "consumer.local.bigquery",
            "consumer.local.limits.storage_write",
            "consumer.local.bill.appends",
            "consumer.local.bill.sizes",
            "consumer.local.objects",
            "consumer.operate.compact.forms",
            "consumer.operate.dead_letters.merged_rows",
            "consumer.operate.reconcile.stored_rows",
            "consumer.operate.dead_letters.contents",
        }
    ),
    "ua_parser": frozenset({"consumer.transforms.user_agents"}),
}

# What consumer.domain may import beside the standard library and itself.
DOMAIN_LIBRARIES = frozenset({"msgspec"})


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement's edge: `target` is a module, or a name in one."""

    source: str
    target: str
    line: int


def imports_of(module: str, text: str) -> Iterator[Import]:
    """Every import of a module, those inside of functions and under TYPE_CHECKING included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} is a relative import"
            for alias in node.names:
                yield Import(module, f"{node.module}.{alias.name}", node.lineno)


def beneath(name: str, parents: Iterable[str]) -> bool:
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


def layer_of(name: str) -> str | None:
    """The layer that a module, or a name in one, belongs to; None for what is not ours."""
    if not beneath(name, ["consumer"]):
        return None
    layer = ".".join(name.split(".")[:2])
    return layer if layer in LAYERS else "consumer"


def faults(imports: Iterable[Import]) -> list[str]:
    """What the tables above do not allow, one line each; empty when all is well."""
    return [f"{edge.source}:{edge.line}: {fault}" for edge in imports for fault in _faults_of(edge)]


def _faults_of(edge: Import) -> Iterator[str]:
    source, target = layer_of(edge.source), layer_of(edge.target)
    assert source is not None
    top = edge.target.partition(".")[0]
    if target is not None and target != source and target not in LAYERS[source]:
        yield f"{source} may not import {target} ({edge.target})"
    elif target is not None and not beneath(edge.target, NARROWED.get((source, target), [target])):
        yield f"{source} may not import {edge.target}"
    if top == "tests":
        yield "tests are not part of the package"
    if top in LIBRARIES and not beneath(edge.source, LIBRARIES[top]):
        yield f"{top} is not for this module"
    if (
        source == "consumer.domain"
        and target is None
        and top not in sys.stdlib_module_names | DOMAIN_LIBRARIES
    ):
        yield f"{top} does not belong in the pure core"


def all_modules() -> dict[str, Path]:
    paths = sorted((ROOT / "consumer").rglob("*.py"))
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }


def test_every_import_of_the_package_is_allowed() -> None:
    modules = all_modules()
    assert {"consumer", "consumer.cli", "consumer.__main__"} <= modules.keys()
    found = [edge for module, path in modules.items() for edge in imports_of(module, path.read_text())]
    assert faults(found) == []


def test_every_package_and_top_level_module_has_a_place_in_the_table() -> None:
    tops = {".".join(module.split(".")[:2]) for module in all_modules()}
    assert tops <= LAYERS.keys()


def test_the_table_of_libraries_names_no_module_without_need() -> None:
    edges = [edge for module, path in all_modules().items() for edge in imports_of(module, path.read_text())]
    users = {(edge.target.partition(".")[0], edge.source) for edge in edges}
    named = {(library, module) for library, allowed in LIBRARIES.items() for module in allowed}
    used = {
        (library, module)
        for library, module in named
        for top, source in users
        if top == library and beneath(source, [module])
    }
    assert named - used == set()


def test_the_command_line_imports_a_command_only_when_it_is_used() -> None:
    tree = ast.parse((ROOT / "consumer/cli.py").read_text())
    at_once = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    imports = imports_of("consumer.cli", ast.unparse(at_once))
    assert {edge.target for edge in imports if layer_of(edge.target)} == {"consumer.__version__"}


@pytest.mark.parametrize(
    ("module", "text", "fault"),
    [
        ("consumer.domain.ledger", "from consumer.settings import load", "may not import consumer.settings"),
        ("consumer.domain.ledger", "import consumer.sinks.s3.sink", "may not import consumer.sinks"),
        ("consumer.domain.ledger", "import orjson", "does not belong in the pure core"),
        (
            "consumer.local.demo",
            "def f():\n    from consumer.shard import entry",
            "may not import consumer.shard",
        ),
        ("consumer.local.demo", "from consumer import daemon", "may not import consumer.daemon"),
        (
            "consumer.daemon.prepare.backend",
            "from consumer.sinks.s3.sink import S3Sink",
            "may not import consumer.sinks.s3.sink",
        ),
        ("consumer.daemon.supervise.supervisor", "import gevent.pool", "gevent is not for this module"),
        ("consumer.shard.delivery.delivery", "from boto3 import client", "boto3 is not for this module"),
        (
            "consumer.daemon.commands.start",
            "if TYPE_CHECKING:\n    import moto",
            "moto is not for this module",
        ),
        (
            "consumer.sinks.s3.sink",
            "from local_bigquery.engine import database",
            "local_bigquery is not for this",
        ),
        ("consumer.cli", "from consumer.shard.process.entry import main", "may not import consumer.shard"),
        ("consumer.other", "from consumer.shard import entry", "may not import consumer.shard"),
    ],
)
def test_an_import_against_the_tables_is_found(module: str, text: str, fault: str) -> None:
    found = faults(imports_of(module, text))
    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (
            "consumer.domain.ledger",
            "from collections import deque\nimport msgspec\nfrom consumer.domain import chunks",
        ),
        ("consumer.shard.delivery.delivery", "import gevent\nfrom consumer.sinks import base"),
        ("consumer.sinks.bigquery.rows.encoder", "import urllib3\nimport consumers_of_something_else"),
        ("consumer.__main__", "from consumer.cli import main"),
    ],
)
def test_an_import_that_the_tables_allow_passes(module: str, text: str) -> None:
    assert faults(imports_of(module, text)) == []


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(AssertionError, match="relative"):
        list(imports_of("consumer.shard.process.entry", "from . import pipeline"))


def modules_of_the_package() -> dict[str, Path]:
    """By their names."""
    paths = [path for path in (ROOT / "consumer").rglob("*.py") if "__pycache__" not in path.parts]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }


def circle_in(edges: dict[str, set[str]]) -> list[str]:
    """The modules of a circle, the first one again at its end; empty where there is none."""
    done: set[str] = set()

    def walk(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for target in sorted(edges[module]):
            if found := walk(target, [*way, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(edges) if (found := walk(module, []))), [])


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports inside of functions count: where they hide a circle, two modules are one."""
    modules = modules_of_the_package()
    edges: dict[str, set[str]] = {}
    for module, path in modules.items():
        targets = {edge.target for edge in imports_of(module, path.read_text(encoding="utf-8"))}
        nearest = {target if target in modules else target.rpartition(".")[0] for target in targets}
        edges[module] = (nearest & modules.keys()) - {module}
    assert circle_in(edges) == []


def room_of(module: str, path: Path) -> str:
    """Its package; a module beside the packages is a room of its own."""
    is_package = path.name == "__init__.py"
    return module if is_package or module.count(".") == 1 else module.rpartition(".")[0]


def test_no_room_imports_itself_by_way_of_others() -> None:
    """Arrows between packages point one way. The embedded stack is no part of the daemon."""
    modules = {
        module: path
        for module, path in modules_of_the_package().items()
        if not beneath(module, ["consumer.local"])
    }
    edges: dict[str, set[str]] = {room_of(module, path): set() for module, path in modules.items()}
    for module, path in modules.items():
        room = room_of(module, path)
        for edge in imports_of(module, path.read_text(encoding="utf-8")):
            target = edge.target if edge.target in modules else edge.target.rpartition(".")[0]
            if target in modules:
                edges[room] |= {room_of(target, modules[target])} - {room}
    assert circle_in(edges) == []


def test_a_circle_would_be_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
