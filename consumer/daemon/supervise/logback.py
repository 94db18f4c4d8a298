"""The JVM's log: warnings on its standard output, one line each, which the supervisor reads; the rest in a
file."""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import quoteattr

from consumer.domain.event_names import EventName
from consumer.domain.events import Level

_PACKAGE = "software.amazon.kinesis"

CONSOLE_MARK = "kcl|"
"""Begins the lines that the console pattern wrote; other lines are what someone wrote to standard error."""

_LAST_WORDS = f"{CONSOLE_MARK}ERROR|MultiLangShardRecordProcessor|Encountered an error while trying to "

_LEVELS: dict[str, Level] = {
    "TRACE": "DEBUG",
    "DEBUG": "DEBUG",
    "INFO": "INFO",
    "WARN": "WARNING",
    "ERROR": "ERROR",
}

_TEMPLATE = """\
<?xml version="1.0" encoding="UTF-8"?>
<configuration>
  <statusListener class="ch.qos.logback.core.status.NopStatusListener"/>
  <appender name="CONSOLE" class="ch.qos.logback.core.ConsoleAppender">
    <filter class="ch.qos.logback.classic.filter.ThresholdFilter"><level>WARN</level></filter>
    <encoder>
      <pattern>{mark}%level|%logger{{0}}|%replace(%msg %ex{{2}}){{'[\\r\\n\\t]+', ' '}}%nopex%n</pattern>
    </encoder>
  </appender>
  <appender name="FILE" class="ch.qos.logback.core.rolling.RollingFileAppender">
    <file>{file}</file>
    <rollingPolicy class="ch.qos.logback.core.rolling.FixedWindowRollingPolicy">
      <fileNamePattern>{file}.%i</fileNamePattern>
      <minIndex>1</minIndex>
      <maxIndex>2</maxIndex>
    </rollingPolicy>
    <triggeringPolicy class="ch.qos.logback.core.rolling.SizeBasedTriggeringPolicy">
      <maxFileSize>10MB</maxFileSize>
    </triggeringPolicy>
    <encoder>
      <pattern>%d{{yyyy-MM-dd'T'HH:mm:ss.SSS'Z', UTC}} %-5level [%thread] %logger{{36}} %msg%n</pattern>
    </encoder>
  </appender>
  <!-- Writes each line of a shard process's standard error to the JVM's own as well. -->
  <logger name="software.amazon.kinesis.multilang.DrainChildSTDERRTask" level="OFF"/>
{quiet}  <root level={level}>
    <appender-ref ref="CONSOLE"/>
    <appender-ref ref="FILE"/>
  </root>
</configuration>
"""


_CHATTY = (
    ("multilang.LineReaderTask", "WARN"),
    ("multilang.MessageWriter", "WARN"),
    ("multilang.MultiLangProtocol", "WARN"),
    ("metrics.CloudWatchPublisherRunnable", "ERROR"),
    ("worker.WorkerMetricsSelector", "ERROR"),
)
"""Several lines for each call of a shard process, and warnings at every start and end that nobody can act on."""


_USUAL: tuple[tuple[str, tuple[Level, str]], ...] = (
    (
        "LeaseAssignmentManager|Not able to assign all expiredOrUnAssignedLeases",
        ("DEBUG", "KCL: some shards are not assigned to a worker yet"),
    ),
    (
        "MultiLangDaemon|Encountered an error during shutdown. java.util.concurrent.TimeoutException",
        (
            "INFO",
            "KCL: not all leases were given up within shutdownGraceMillis; they run out by themselves",
        ),
    ),
)
"""By their beginnings, what the KCL complains of at usual starts, and where one is ended before a shard is opened."""
_NOT_THE_KCL = "JVM: "
_STACK_FRAME = re.compile(r"\s+(at |\.\.\. \d+ (more|common frames))")
"""Of an exception that Java itself wrote; what it is, and what caused it, stands in lines of their own."""
_OF_THE_CACHE = re.compile(r"\[[\d.]+s\]\[(warning|error) *\]\[aot|\[ +\] ")
"""What the JVM says of an AOT cache: several lines, one of which it always ends with."""
_CACHE_LEFT_OUT = re.compile(r"\[[\d.]+s\]\[error *\]\[aot *\] Unable to map shared spaces")


def render(*, log_file: Path, level: str) -> str:
    """The logback.xml that keeps at most 30 MB in `log_file` and its two predecessors."""
    quieted = () if level == "DEBUG" else _CHATTY
    return _TEMPLATE.format(
        mark=CONSOLE_MARK,
        file=quoteattr(str(log_file))[1:-1],
        level=quoteattr(level),
        quiet="".join(f'  <logger name="{_PACKAGE}.{name}" level="{least}"/>\n' for name, least in quieted),
    )


def says_that_the_jvm_ends(line: str) -> bool:
    """Whether the KCL wrote that a shard process failed it: it then ends the JVM, all other shards with it."""
    return line.startswith(_LAST_WORDS)


def event_of(level: Level, message: str) -> EventName:
    """What a line is about, of which `read_line` has made this."""
    if message.startswith(_NOT_THE_KCL):
        return "jvm_output"
    return {"ERROR": "kcl_error", "WARNING": "kcl_warning"}.get(level, "note")  # type: ignore[return-value]


def read_line(line: str) -> tuple[Level, str]:
    """Level and message of a line of the JVM's output: a log line of the KCL, or someone's complaint."""
    if line.startswith(CONSOLE_MARK):
        level, _, rest = line.removeprefix(CONSOLE_MARK).partition("|")
        for begins, usual in _USUAL:
            if rest.startswith(begins):
                return usual
        logger, _, message = rest.partition("|")
        return _LEVELS.get(level, "WARNING"), f"KCL {logger}: {message.rstrip()}"
    if _CACHE_LEFT_OUT.match(line):
        return "WARNING", (
            "JVM: it starts without its AOT cache, which takes it some seconds longer: the cache does not fit"
            " jvm.options, or a heap of this size"
        )
    told: Level = "DEBUG" if _STACK_FRAME.match(line) or _OF_THE_CACHE.match(line) else "WARNING"
    return told, f"{_NOT_THE_KCL}{line}"
