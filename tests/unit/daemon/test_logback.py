import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from consumer.daemon.supervise.logback import read_line, render, says_that_the_jvm_ends


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kcl|WARN|LeaseTaker|slow", ("WARNING", "KCL LeaseTaker: slow")),
        ("kcl|ERROR|ShardConsumer|a | b ", ("ERROR", "KCL ShardConsumer: a | b")),
        ("kcl|ODD|X|y", ("WARNING", "KCL X: y")),
        ("Traceback (most recent call last):", ("WARNING", "JVM: Traceback (most recent call last):")),
        ("kcl|WARN|LeaseAssignmentManager|No worker", ("WARNING", "KCL LeaseAssignmentManager: No worker")),
        (
            "kcl|ERROR|MultiLangDaemon|Encountered an error during shutdown. java.io.IOException: x",
            ("ERROR", "KCL MultiLangDaemon: Encountered an error during shutdown. java.io.IOException: x"),
        ),
    ],
)
def test_a_line_of_the_jvm_has_a_level_and_a_message(line: str, expected: tuple[str, str]) -> None:
    assert read_line(line) == expected


def test_a_usual_start_says_nothing_of_leases_that_are_not_assigned_yet() -> None:
    line = "kcl|WARN|LeaseAssignmentManager|Not able to assign all expiredOrUnAssignedLeases"
    assert read_line(line)[0] == "DEBUG"


def test_an_end_during_the_start_is_no_trace_of_a_time_out() -> None:
    line = (
        "kcl|ERROR|MultiLangDaemon|Encountered an error during shutdown. java.util.concurrent.TimeoutException:"
        " null at java.base/java.util.concurrent.CompletableFuture.timedGet(Unknown Source) at java.base/java.util"
    )
    level, message = read_line(line)
    assert level == "INFO"
    assert "shutdownGraceMillis" in message
    assert "java" not in message


def test_of_all_that_the_jvm_says_of_a_cache_that_does_not_fit_one_line_is_shown() -> None:
    lines = [
        "[0.008s][warning][aot] Unable to use AOT cache.",
        "[                    ] The AOT cache's UseCompactObjectHeaders setting (disabled) does not equal the current",
        "[0.008s][error  ][aot] An error has occurred while processing the AOT cache. Run with -Xlog:aot for details.",
        "[0.008s][error  ][aot] Loading static archive failed.",
        "[0.008s][error  ][aot] Unable to map shared spaces",
    ]
    [shown] = [message for level, message in map(read_line, lines) if level != "DEBUG"]
    assert "without its AOT cache" in shown
    assert "jvm.options" in shown
    assert read_line("[0.008s][warning][gc] slow")[0] == "WARNING"


def test_of_a_trace_that_java_writes_only_what_happened_is_shown() -> None:
    trace = [
        'Exception in thread "main" java.lang.Error: x',
        "\tat java.base/java.io.FileInputStream.open0(Native Method)",
        "Caused by: java.io.FileNotFoundException: x (Too many open files)",
        "\tat ch.qos.logback.core.X.run(X.java:1)",
        "\t... 21 more",
        "\t... 3 common frames omitted",
        "  an indented word at large",
    ]
    shown = [line for line in trace if read_line(line)[0] != "DEBUG"]
    assert shown == [trace[0], trace[2], trace[6]]


@pytest.mark.parametrize(
    ("line", "ends"),
    [
        (
            "kcl|ERROR|MultiLangShardRecordProcessor|Encountered an error while trying to process records x",
            True,
        ),
        (
            "kcl|ERROR|MultiLangShardRecordProcessor|Encountered exception while trying to close output stream.",
            False,
        ),
        ("kcl|ERROR|ProcessTask|Encountered an error while trying to process records", False),
        ("Encountered an error while trying to process records", False),
    ],
)
def test_the_kcls_last_words_are_understood(line: str, ends: bool) -> None:
    assert says_that_the_jvm_ends(line) == ends


def test_the_file_is_bounded_and_shard_processes_standard_error_is_not_logged_twice() -> None:
    root = ElementTree.fromstring(render(log_file=Path('/tmp/a & "b"/kcl.log'), level="INFO"))
    levels = {
        logger.get("name", "").rpartition(".")[2]: logger.get("level") for logger in root.iter("logger")
    }
    assert levels["DrainChildSTDERRTask"] == "OFF"
    assert levels["MessageWriter"] == "WARN"
    assert root.findtext("appender[@name='FILE']/file") == '/tmp/a & "b"/kcl.log'
    assert root.findtext("appender[@name='FILE']/triggeringPolicy/maxFileSize") == "10MB"
    assert root.findtext("appender[@name='CONSOLE']/filter/level") == "WARN"
    assert [root_logger.get("level") for root_logger in root.iter("root")] == ["INFO"]


def test_a_search_for_a_fault_shows_every_call() -> None:
    assert "MessageWriter" not in render(log_file=Path("/tmp/kcl.log"), level="DEBUG")
