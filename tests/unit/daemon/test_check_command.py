import json
from pathlib import Path

import pytest

from consumer.daemon.commands.arguments import Embedded
from consumer.daemon.commands.check import check_main
from consumer.daemon.commands.questions import ask_all, check_state_directory
from consumer.daemon.errors import StartFailed
from consumer.daemon.prepare.preparation import NotReady, Unusable
from consumer.daemon.prepare.question import Answer, Check
from consumer.settings import Settings


@pytest.fixture
def properties(tmp_path: Path) -> str:
    path = tmp_path / "s3.properties"
    path.write_text("s3.bucket = bucket\nretrievalMode = FANOUT\n")
    return str(path)


def never(settings: Settings) -> list[Answer]:
    raise AssertionError("the world was asked")


def test_offline_nothing_but_the_settings_is_checked(
    properties: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_main(["s3", "--offline", "--properties", properties], ask_world=never) == 0
    warning, verdict = capsys.readouterr().out.splitlines()
    assert warning.startswith(f"{properties}:2: warning: retrievalMode: FANOUT is enhanced fan-out")
    assert verdict == "ok     settings: 1 warning"


def test_settings_that_cannot_be_used_end_the_check_with_code_2(
    properties: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["s3", "--properties", properties, "--set", "chunk.windw=1s", "--json"]
    assert check_main(arguments, ask_world=never) == 2
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["world"]) == (False, None)
    assert [(one["severity"], one["file"], one["line"]) for one in report["settings"]] == [
        ("warning", properties, 2),
        ("error", "--set", None),
    ]


def test_one_cause_of_several_faults_is_one_line_and_json_has_them_all(
    properties: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(settings: Settings) -> list[Answer]:
        names = ("AWS credentials", "stream", "lease table", "lease table", "bucket")
        here = Answer(name="state directory", ok=True, message="can be written")
        return [here, *(Answer(name=name, ok=False, message="none found") for name in names)]

    assert check_main(["s3", "--properties", properties], ask_world=ask) == 1
    assert capsys.readouterr().out.splitlines()[2:] == [
        "ok     state directory: can be written",
        "FAULT  AWS credentials, stream, lease table, bucket: none found",
    ]
    assert check_main(["s3", "--properties", properties, "--json"], ask_world=ask) == 1
    assert len(json.loads(capsys.readouterr().out)["world"]) == 6


@pytest.mark.parametrize(("ok", "code", "word"), [(True, 0, "ok   "), (False, 1, "FAULT")])
def test_every_answer_is_a_line_and_one_fault_ends_with_code_1(
    properties: str, capsys: pytest.CaptureFixture[str], ok: bool, code: int, word: str
) -> None:
    def ask(settings: Settings) -> list[Answer]:
        return [
            Answer(name="clock", ok=True, message="agrees"),
            Answer(name="stream", ok=ok, message="what is there, or what to do"),
        ]

    assert check_main(["s3", "--properties", properties], ask_world=ask) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["ok     clock: agrees", f"{word}  stream: what is there, or what to do"]


def test_the_embedded_stack_counts_less_than_set_and_only_with_local(
    properties: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "elsewhere")
    seen: list[str] = []

    def ask(settings: Settings) -> list[Answer]:
        seen.append(f"{settings['s3.bucket']} {settings['streamName']}")
        return []

    def find(backend: str) -> Embedded:
        return Embedded(overrides={"s3.bucket": "embedded", "streamName": "embedded"}, environment={})

    arguments = ["s3", "--properties", properties, "--set", "streamName=set"]
    assert check_main(arguments, find_embedded=find, ask_world=ask) == 0
    assert check_main([*arguments, "--local"], find_embedded=find, ask_world=ask) == 0
    assert seen == ["bucket set", "embedded set"]


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ("", "", True),
        ("streamName = logs", "streamName = logs", True),
        ("streamName = logs", "", False),
        ("regionName = eu-west-1", "", False),
        ("retrievalMode = FANOUT", "", False),
        ("", "retrievalMode = FANOUT", False),
        ("", None, False),
    ],
)
def test_another_application_that_polls_the_stream_is_a_note_and_no_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ours: str, theirs: str | None, told: bool
) -> None:
    properties = tmp_path / "s3.properties"
    properties.write_text(f"s3.bucket = bucket\n{ours}\n")
    if theirs is not None:
        (tmp_path / "bigquery.properties").write_text(f"{theirs}\n")
    assert check_main(["s3", "--properties", str(properties)], ask_world=lambda _: []) == 0
    said = capsys.readouterr().out
    assert ("ok     other readers: " in said) is told
    assert ("bigquery.properties polls this stream too" in said) is told


def test_a_stack_that_does_not_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def find(backend: str) -> Embedded:
        raise StartFailed("--local: no embedded stack is running")

    assert check_main(["s3", "--local"], find_embedded=find, ask_world=never) == 1
    assert capsys.readouterr().err == "--local: no embedded stack is running\n"


def test_one_question_that_fails_hides_no_other() -> None:
    def fail(error: Exception) -> str:
        raise error

    errors = (Unusable("mend it", subject="table x"), NotReady("wait"), KeyError("surprise"))
    checks = [Check(name="bad", step=lambda error=error: fail(error)) for error in errors]
    answers = ask_all([*checks, Check(name="good", step=lambda: "there")])
    assert [(answer.ok, answer.message) for answer in answers] == [
        (False, "mend it (table x)"),
        (False, "wait"),
        (False, "KeyError: 'surprise'"),
        (True, "there"),
    ]


def test_a_state_directory_has_to_be_writable_or_makeable(tmp_path: Path) -> None:
    assert check_state_directory(tmp_path / "a" / "b") == f"{tmp_path / 'a' / 'b'} can be written"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match=r"^worker.state_dir: .* because of .*/file$"):
        check_state_directory(tmp_path / "file" / "b")


def test_a_state_directory_that_a_start_would_refuse_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "state").symlink_to(tmp_path)
    with pytest.raises(Unusable, match=r"^worker.state_dir: .*/state is a symbolic link"):
        check_state_directory(tmp_path / "state")
