import re
import string

import pytest

from consumer.settings import BACKENDS, load
from consumer.settings.kcl_table import KCL_KEYS, KclKey
from consumer.settings.reference import effective_lines, help_lines
from consumer.settings.table import SETTINGS, Backend, Setting


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
def test_every_default_is_a_value_of_its_own_type(setting: Setting) -> None:
    for backend in setting.backends:
        default = setting.default_for(backend)
        if default is not None:
            assert setting.kind.parse(default) is not None


ROWS: list[Setting | KclKey] = [*SETTINGS.values(), *KCL_KEYS.values()]


def _punctuation(form: str) -> set[str]:
    """The signs that a form lists behind "letters, digits"."""
    words = re.split(r"[ ,]+", form.partition("letters, digits")[2].partition(" with ")[0])
    return {"-" if word == "hyphens" else word for word in words if len(word) == 1 or word == "hyphens"}


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if re.search("(^|: )letters, digits", row.kind.describe())],
    ids=lambda row: row.name,
)
def test_a_text_is_refused_for_the_characters_that_the_message_lists_and_for_no_other(
    row: Setting | KclKey,
) -> None:
    listed = _punctuation(row.kind.describe())
    for character in [*string.punctuation, " ", "ü"]:
        refusal = _refusal(row, f"a{character}a")
        assert (refusal is None) is (character in listed), character
        assert refusal is None or row.kind.describe() in refusal


def _refusal(row: Setting | KclKey, text: str) -> str | None:
    try:
        row.kind.parse(text)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
def test_every_setting_has_a_meaning_of_one_line(setting: Setting) -> None:
    assert setting.meaning
    assert "\n" not in setting.meaning
    assert setting.kind.describe()


def test_no_setting_has_a_name_of_the_kcl() -> None:
    assert not {name.lower() for name in SETTINGS} & {name.lower() for name in KCL_KEYS}


def test_a_mandatory_setting_has_no_default() -> None:
    assert not [
        setting.name for setting in SETTINGS.values() if setting.mandatory and setting.default is not None
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_help_explains_every_setting_of_a_backend_and_no_other(backend: Backend) -> None:
    text = "\n".join(help_lines(backend))
    for setting in SETTINGS.values():
        assert (f"  {setting.name}" in text.replace(" =", "")) == (backend in setting.backends)
    assert "(mandatory)" in text


def test_the_effective_settings_are_shown_as_written_with_their_origin() -> None:
    lines = list(effective_lines(load("s3", overrides={"s3.bucket": "bucket", "chunk.window": "5s"})))
    assert any(line.startswith("chunk.window ") and line.endswith("= 5s  (--set)") for line in lines)
    assert any(line.startswith("deadletter.bucket ") and "= bucket  (default)" in line for line in lines)
