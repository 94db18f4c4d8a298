"""The AOT cache is believed only where it is what bin/setup made, for this Java and these jars."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumer.daemon.supervise.aot_cache import Unusable, give_up, note_of, publish, usable
from consumer.daemon.supervise.java import MAIN_CLASS, class_path, jars_folder, java_executable
from consumer.daemon.supervise.logback import read_line
from consumer.settings import load

CONTENT = b"classes and profiles"


class Place:
    """A Java, a folder of jars, and where the cache for them belongs."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "lib.aot"
        self.java = folder / "java/bin/java"
        self.jars = folder / "jars"
        for path in (
            self.java,
            folder / "java/lib/server/libjvm.so",
            folder / "java/release",
            self.jars / "a.jar",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("1")

    def publish(self) -> None:
        made = self.cache.with_name("made")
        made.write_bytes(CONTENT)
        publish(made, self.java, self.jars, cache=self.cache)

    def usable(self) -> Path:
        return usable(self.java, self.jars, cache=self.cache)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_was_made_is_used(place: Place) -> None:
    place.publish()
    assert place.usable() == place.cache
    assert place.cache.read_bytes() == CONTENT
    place.publish()
    assert place.usable() == place.cache, "and so is the next one"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=2 * len(CONTENT)).filter(lambda content: content != CONTENT))
def test_whatever_else_the_file_holds_is_not(place: Place, content: bytes) -> None:
    place.publish()
    place.cache.write_bytes(content)
    with pytest.raises(Unusable, match="is damaged"):
        place.usable()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(note=st.binary(max_size=40))
def test_whatever_the_note_holds_no_start_fails(place: Place, note: bytes) -> None:
    place.publish()
    note_of(place.cache).write_bytes(note)
    with pytest.raises(Unusable):
        place.usable()


def test_another_java_or_other_jars_have_none(place: Place) -> None:
    place.publish()
    release = place.java.parents[1] / "release"
    release.write_text("2")
    with pytest.raises(Unusable, match="another Java"):
        place.usable()
    release.write_text("1")
    (place.jars / "b.jar").write_text("")
    with pytest.raises(Unusable, match="other jars"):
        place.usable()
    (place.jars / "b.jar").unlink()
    os.utime(place.jars / "a.jar", (1, 1))
    with pytest.raises(Unusable, match="other jars"):
        place.usable()


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_what_others_may_write_is_not_believed(place: Place, mode: int) -> None:
    place.publish()
    place.cache.chmod(mode)
    with pytest.raises(Unusable, match="others may write"):
        place.usable()


def test_what_belongs_to_somebody_who_has_not_the_jars_is_not_believed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.publish()
    found = place.cache.lstat()
    theirs = os.stat_result((*found[:4], 4242, *found[5:]))
    monkeypatch.setattr(Path, "lstat", lambda path: theirs)
    with pytest.raises(Unusable, match="belongs to user 4242"):
        place.usable()


def test_a_link_is_not_followed(place: Place) -> None:
    place.publish()
    moved = place.cache.rename(place.cache.with_name("moved"))
    place.cache.symlink_to(moved)
    with pytest.raises(Unusable, match="not a regular file"):
        place.usable()


def test_none_is_there_before_one_is_made_and_after_one_could_not_be(place: Place) -> None:
    with pytest.raises(Unusable, match=r"there is no .*lib\.json"):
        place.usable()
    place.publish()
    give_up("the KCL ended", cache=place.cache)
    assert not place.cache.exists()
    with pytest.raises(Unusable, match="bin/setup could not make it: the KCL ended"):
        place.usable()


def java_with(*options: str) -> list[str]:
    """What the real JVM says that starts with this environment's cache and has nothing to do."""
    java = java_executable(load("s3", overrides={"s3.bucket": "bucket"}))
    cache = usable(java, jars_folder())
    done = subprocess.run(
        [java, f"-XX:AOTCache={cache}", *options, "-cp", class_path(jars_folder()), MAIN_CLASS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Properties file missing" in done.stderr, "the KCL has started"
    return done.stdout.splitlines()


def test_the_jvm_takes_the_cache_of_this_environment() -> None:
    options = load("s3", overrides={"s3.bucket": "bucket"}).text("jvm.options").split()
    said = java_with("-Xmx1g", *options, "-Xlog:aot")
    assert any("Using AOT-linked classes: true" in line for line in said)


def test_a_jvm_whose_options_the_cache_does_not_fit_starts_and_says_so_once() -> None:
    of_the_jvm = [line for line in java_with("-XX:+UseZGC") if line.startswith("[")]
    warnings = [message for level, message in map(read_line, of_the_jvm) if level != "DEBUG"]
    assert len(of_the_jvm) > 1
    assert len(warnings) == 1
    assert "without its AOT cache" in warnings[0]
