"""What level `kcl` of the bench runs, without Java."""

import os
import select
import sys
from pathlib import Path

import pytest

from consumer.settings import Settings, load
from tests.bench import jvm
from tests.bench.arrivals import Acknowledged, Delivered
from tests.bench.backend import discarding
from tests.bench.inputs import Input
from tests.bench.kcl import BenchError, Child
from tests.bench.kinesis.answers import Script
from tests.bench.kinesis.stub import serving

JAVA = """\
#!/bin/sh
sleep 60 &
echo $! > {fifo}
wait
"""


def settings_with(java: str, folder: Path) -> Settings:
    program = folder / "java"
    program.write_text(java)
    program.chmod(0o755)
    return load("s3", overrides={"s3.bucket": "bucket", "jvm.java": str(program)})


def test_the_acknowledging_child_counts_the_records_of_each_message(tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    program = ["tests.bench.programs.acknowledge", str(counts)]
    with Child(program, tmp_path, {}) as child:
        child.initialize()
        for line in Input(record_bytes=700, count=4321).lines():
            child.call(line.text)
        child.end_shard()
        child.close()
    assert counts.read_text().split() == ["0", "4000", "321", "0"]
    Acknowledged(counts).check(4321, 0)


def test_records_that_did_not_arrive_are_missed(tmp_path: Path) -> None:
    with discarding(tmp_path) as backend:
        Delivered(backend).check(0, 0)
        with pytest.raises(BenchError, match="0 of 1 records arrived"):
            Delivered(backend).check(1, 10**11)


def test_the_stub_serves_until_it_is_no_longer_wanted(tmp_path: Path) -> None:
    script = Script(shards=1, warm_up=1, measured=1, batch_records=1, record_bytes=200)
    with serving(script, tmp_path) as stub:
        stub.open()
        assert stub.state().calls == {}
    with pytest.raises(OSError):
        stub.state()


def test_the_jvm_and_what_it_has_started_end_together(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    settings = settings_with(JAVA.format(fifo=fifo), tmp_path)
    with jvm.running(settings, ["program", "argument"], tmp_path, {}) as kcl:
        child = os.pidfd_open(int(fifo.read_text()))
        kcl.check()
        assert kcl.times().descendants >= 0
        assert kcl.peak_rss_bytes() > 0
        assert not ended(child, seconds=0)
    assert kcl.popen.returncode == -9
    assert ended(child, seconds=10)
    os.close(child)


def ended(pidfd: int, *, seconds: float) -> bool:
    return bool(select.select([pidfd], [], [], seconds)[0])


def test_a_jvm_that_ends_voids_the_run_with_its_last_words(tmp_path: Path) -> None:
    settings = settings_with("#!/bin/sh\necho what is wrong\nexit 3\n", tmp_path)
    with jvm.running(settings, ["program"], tmp_path, {}) as kcl:
        kcl.popen.wait()
        with pytest.raises(BenchError, match="code 3:\nwhat is wrong"):
            kcl.check()
        with pytest.raises(BenchError, match="ended while it was measured"):
            kcl.times()


def test_the_kcl_is_told_the_childs_command_in_its_file(tmp_path: Path) -> None:
    settings = settings_with("#!/bin/sh\n", tmp_path)
    with jvm.running(settings, ["program", "argument"], tmp_path, {}):
        lines = (tmp_path / "kcl.properties").read_text().splitlines()
    assert f"executableName={Path(sys.executable).name} -m program argument" in lines
    assert "retrievalMode=POLLING" in lines
