"""The committed reference page against the tables that it is made from."""

from consumer.settings import BACKENDS, PROJECT_ROOT
from consumer.settings.kcl_table import KCL_KEYS
from consumer.settings.page import page
from consumer.settings.reference import help_lines
from consumer.settings.table import SETTINGS


def test_the_committed_page_is_the_one_that_the_tables_make() -> None:
    committed = (PROJECT_ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert committed == page(), "make it anew: python -m consumer.settings.page > docs/settings.md"


def test_every_key_has_a_row_with_as_many_cells_as_its_table_has_columns() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [
        *SETTINGS,
        *(name for name, key in KCL_KEYS.items() if key.owner == "operator"),
        *(name for name, key in KCL_KEYS.items() if key.owner != "operator"),
    ]
    columns = [row.replace("\\|", "").count("|") - 1 for row in rows]
    refused = sum(key.owner != "operator" for key in KCL_KEYS.values())
    assert columns == [4] * (len(rows) - refused) + [2] * refused


def test_help_and_page_tell_of_every_trap() -> None:
    traps = [key.trap for key in KCL_KEYS.values() if key.trap]
    assert traps
    for backend in BACKENDS:
        shown = "\n".join(help_lines(backend))
        assert all(trap in shown for trap in traps)
    assert all(trap in page() for trap in traps)
