"""A few thousand inputs for each target, always the same; bin/fuzz looks for longer."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from consumer.native import library
from tests.examples import share_of
from tests.fuzz import natively
from tests.fuzz.command import main
from tests.fuzz.findings import failure, found
from tests.fuzz.inputs import SEPARATOR, Input, Maker, corpus
from tests.fuzz.natively import C_TARGETS, Program
from tests.fuzz.targets import TARGETS

pytestmark = pytest.mark.skipif(library.load() is None, reason="without the C library there is one way only")

INPUTS = {"judges": share_of(1500), "parser": share_of(2000), "paths": share_of(800)}
C_INPUTS = share_of(3000)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_wrong_with_a_few_inputs(name: str) -> None:
    count, finding = TARGETS[name].run(seed=1, inputs=INPUTS[name], seconds=None)
    assert finding is None, finding.told(finding.keep())
    assert count == INPUTS[name]


@pytest.fixture(scope="module", params=[(), ("-DPORTABLE",)], ids=["vectors", "portable"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    made = natively.standalone(tmp_path_factory.mktemp("fuzz"), *request.param)
    if made is None:
        pytest.skip("no C compiler with AddressSanitizer and UBSan on this machine")
    return made


@pytest.mark.parametrize("target", C_TARGETS)
def test_no_function_reads_or_writes_beside_its_buffers(program: Program, target: str) -> None:
    done, finding = program.run(target, seed=1, inputs=C_INPUTS, seconds=None)
    assert finding is None, finding.told(finding.keep())
    assert "0 inputs" not in done
    assert ", " in done, "the functions were never sure of anything"


# The habit itself


def test_the_same_random_numbers_make_the_same_inputs() -> None:
    def some() -> list[bytes]:
        maker = Maker(Random(7), 50)
        return [maker.payloads(4).data for _ in range(50)] + [
            TARGETS["parser"].make(maker).data for _ in range(50)
        ]

    assert some() == some()


def test_the_corpus_holds_payloads_that_every_target_can_read() -> None:
    assert len(corpus("payloads")) > 300
    assert not any(SEPARATOR in payload for payload in corpus("payloads"))
    assert not any(b"\n" in line for line in corpus("messages"))


def test_a_finding_is_made_small_and_can_be_repeated(tmp_path: Path) -> None:
    def check(one: Input) -> None:
        assert b"bad" not in one.content, "it holds what is bad"

    one = Input(b"12345678", SEPARATOR.join([b"{}", b'{"a":"a bad one"}', b"[]"]))
    error = failure(check, one)
    assert error is not None
    finding = found("some", check, one, error)
    assert finding.data == b"12345678bad"
    path = finding.keep(tmp_path)
    assert failure(check, Input.of(path.read_bytes())) is not None
    assert f"bin/fuzz --repeat {path} some" in finding.told(path)


def test_what_a_c_target_finds_is_kept(program: Program) -> None:
    _, finding = program.run("example", seed=1, inputs=10**6, seconds=None)
    assert finding is not None
    assert b"bad" in finding.data
    assert "not true: nothing is bad" in finding.said
    assert "not true: nothing is bad" in (program.repeat("example", finding.data) or "")
    assert program.repeat("example", b"12345678good") is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "no target 'nothing'; there are json, "),
        (["--repeat", "x"], "--repeat wants the one target"),
    ],
)
def test_what_is_asked_wrongly_is_told(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_it_runs_as_a_command() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.fuzz", "--inputs", "5", "judges", "parser"],
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "judges: 5 inputs, nothing found\nparser: 5 inputs, nothing found\n"
