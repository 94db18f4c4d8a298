"""From properties file, environment and command line to settings, with every fault of a run reported at once.

The later one wins: default, file, environment, command line. A key travels in an environment variable as
`CONSUMER_SET_` and its name with each dot as two underscores, in any case: `CONSUMER_SET_CHUNK__WINDOW=30s`.
"""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from consumer.domain.names import SETTING_PREFIX
from consumer.settings import properties_file
from consumer.settings.checks import check, complete
from consumer.settings.findings import Finding, Given, SettingsError, Severity
from consumer.settings.kcl_table import KCL_CLIENT_PREFIXES, KCL_KEYS, KclKey
from consumer.settings.model import DEFAULT_ORIGIN, Settings
from consumer.settings.table import SETTINGS, Backend, Setting
from consumer.settings.values import Text, Value

COMMAND_LINE = "--set"


def load(
    backend: Backend,
    *,
    file: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of a backend; raises SettingsError with all findings when at least one is an error.

    `environment` is a whole environment, of which the variables with our prefix count; it is read only when
    given.
    """
    findings: list[Finding] = []
    given: dict[str, Given] = {}
    for layer in (
        _from_file(file, findings),
        _from_environment(environment or {}),
        _from_overrides(overrides or {}),
    ):
        given.update(layer)
    values: dict[str, Value] = {}
    for key, one in _with_defaults(backend, given).items():
        findings.extend(_read(backend, key, one, values))
    complete(backend, values)
    findings.extend(check(backend, values, given))
    if any(finding.severity is Severity.ERROR for finding in findings):
        raise SettingsError(_in_order(findings))
    return _settings(backend, values, given, tuple(_in_order(findings)))


def look_up(
    backend: Backend, key: str, *, file: Path | None = None, environment: Mapping[str, str] | None = None
) -> str | None:
    """What one setting was set to, or its default, whatever faults the others have; None when it is unset."""
    given = {**_from_file(file, []), **_from_environment(environment or {})}
    row = SETTINGS.get(key) or KCL_KEYS[key]
    return given[key].text if key in given else row.default_for(backend)


def display_path(path: Path) -> str:
    """A path as findings name it: relative to the working directory when it lies below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _from_file(file: Path | None, findings: list[Finding]) -> dict[str, Given]:
    if file is None:
        return {}
    place = display_path(file)
    given: dict[str, Given] = {}
    for entry in properties_file.parse(_content(file, place, findings)):
        if isinstance(entry, properties_file.Malformed):
            findings.append(_error("", entry.message, place, entry.line))
            continue
        one = Given(key=entry.key, text=entry.value, place=place, line=entry.line)
        if entry.key in given:
            findings.append(one.error(f"set before, in line {given[entry.key].line}"))
        given[entry.key] = one
    return given


def _content(file: Path, place: str, findings: list[Finding]) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        findings.append(_error("", f"cannot read the file: {error.strerror}", place))
        return ""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        findings.append(_error("", "the file is UTF-16: save it as UTF-8", place))
        return ""
    try:
        return content.decode("utf-8-sig")  # some editors begin a file with a byte-order mark
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        findings.append(_error("", "this line is not UTF-8", place, line))
    return ""


def _error(key: str, message: str, place: str, line: int | None = None) -> Finding:
    return Finding(severity=Severity.ERROR, key=key, message=message, file=place, line=line)


def _from_environment(environment: Mapping[str, str]) -> dict[str, Given]:
    by_lower_case = {key.lower(): key for key in (*SETTINGS, *KCL_KEYS)}
    given: dict[str, Given] = {}
    for variable, text in environment.items():
        if variable.startswith(SETTING_PREFIX):
            spelt = variable.removeprefix(SETTING_PREFIX).replace("__", ".")
            key = by_lower_case.get(spelt.lower(), spelt)
            given[key] = Given(key=key, text=text, place=variable)
    return given


def _from_overrides(overrides: Mapping[str, str]) -> dict[str, Given]:
    return {key: Given(key=key, text=text, place=COMMAND_LINE) for key, text in overrides.items()}


def _with_defaults(backend: Backend, given: Mapping[str, Given]) -> dict[str, Given]:
    rows: Iterable[Setting | KclKey] = (*SETTINGS.values(), *KCL_KEYS.values())
    defaults = {
        row.name: Given(key=row.name, text=text, place=DEFAULT_ORIGIN)
        for row in rows
        if (text := row.default_for(backend)) is not None
        and (not isinstance(row, Setting) or backend in row.backends)
    }
    return {**defaults, **given}


def _read(backend: Backend, key: str, given: Given, values: dict[str, Value]) -> Iterator[Finding]:
    """Puts the value of one key into `values` when it has one, and yields what is wrong with it."""
    row = SETTINGS.get(key) or KCL_KEYS.get(key)
    if row is None:
        if not key.startswith(KCL_CLIENT_PREFIXES):
            yield given.error(f"no such setting{_suggestion(backend, key)}")
            return
        row = KclKey(name=key, kind=Text(), meaning="a property of the KCL's AWS clients")
    if isinstance(row, Setting) and backend not in row.backends:
        yield given.error(f"a setting of {', '.join(sorted(row.backends))}, not of {backend}")
    elif isinstance(row, KclKey) and row.owner != "operator":
        yield given.error(f"not to be set: {row.meaning}")
    elif "${" in given.text:
        yield given.error(
            "${…} is not replaced by anything here; set the key by environment variable or --set instead"
        )
    elif not given.text and not isinstance(row, Setting):
        yield given.error("the value is missing")
    elif given.text or row.default_for(backend) is not None:
        try:
            values[key] = row.kind.parse(given.text)
        except ValueError as error:
            yield given.error(str(error))


def _suggestion(backend: Backend, key: str) -> str:
    names = [name for name, row in SETTINGS.items() if backend in row.backends]
    names += [name for name, row in KCL_KEYS.items() if row.owner == "operator"]
    by_lower_case = {name.lower(): name for name in names}
    for candidate in (key.lower(), key.lower().rpartition(".")[2]):
        nearest = difflib.get_close_matches(candidate, by_lower_case, n=1, cutoff=0.7)
        if nearest:
            return f"; did you mean {by_lower_case[nearest[0]]}?"
    return ""


def _in_order(findings: list[Finding]) -> list[Finding]:
    """By line within the file; what stands in no line comes last."""
    return sorted(findings, key=lambda finding: (finding.line is None, finding.line or 0))


def _settings(
    backend: Backend, values: Mapping[str, Value], given: Mapping[str, Given], warnings: tuple[Finding, ...]
) -> Settings:
    origins = {key: given[key].origin if key in given else DEFAULT_ORIGIN for key in values}
    texts = {key: one.text for key, one in _with_defaults(backend, given).items() if key in values}
    kcl = {key: text for key, text in texts.items() if key not in SETTINGS}
    return Settings(backend=backend, values=values, kcl=kcl, texts=texts, origins=origins, warnings=warnings)
