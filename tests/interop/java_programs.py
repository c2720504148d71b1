"""The Java programs of this folder: compiled against the jars of Kafka and Avro, and run."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

from kstate.testing.kafka_local import KAFKA_VERSION, java_problem

SOURCES = Path(__file__).parent / "java"
AVRO_VERSION = "1.12.1"
SLF4J_VERSION = "2.0.17"
PATIENCE_S = 60.0

_DEPENDENCIES = (
    ("org.slf4j", "slf4j-nop", SLF4J_VERSION),  # first: its version of the interface counts
    ("org.apache.kafka", "kafka-clients", KAFKA_VERSION),
    ("org.apache.avro", "avro", AVRO_VERSION),
)
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kstate</groupId><artifactId>interop</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
_DEPENDENCY = (
    "    <dependency><groupId>{}</groupId><artifactId>{}</artifactId>"
    "<version>{}</version></dependency>"
)


class NoJars(Exception):
    """Why the jars are not at hand though Java is; one sentence."""


def problem() -> str | None:
    """Why Java programs cannot be compiled and run here, or None when they can."""
    found = java_problem()
    if found is None and shutil.which("javac") is None:
        return "there is no javac"
    return found


def jars() -> Path:
    """The folder with the jars, filled by Maven the first time.  Raises `NoJars`."""
    pom = _POM.format(dependencies="\n".join(_DEPENDENCY.format(*each) for each in _DEPENDENCIES))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kstate"
    folder = cache / f"interop-{sha256(pom.encode()).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "interop-lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two test runs at once, one fetches
        if not folder.is_dir():
            _fetch(pom, cache, folder)
    return folder


def _fetch(pom: str, cache: Path, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise NoJars("there is no mvn to fetch the jars of Kafka's clients and Avro with")
    with tempfile.TemporaryDirectory(dir=cache) as work:
        (Path(work) / "pom.xml").write_text(pom)
        command = [maven, "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoJars(f"mvn could not fetch the jars: {done.stdout.strip()[-500:]}")
        os.rename(Path(work) / "jars", folder)


class Java:
    """The programs, compiled into ``classes``."""

    def __init__(self, classes: Path) -> None:
        self.jars = jars()
        self._path = f"{self.jars}/*{os.pathsep}{classes}"
        command = ["javac", "-encoding", "UTF-8", "-Xlint:all", "-Werror", "-cp", self._path]
        _done([*command, "-d", str(classes), *map(str, sorted(SOURCES.glob("*.java")))])

    def run(self, program: str, *arguments: str, stdin: str = "") -> list[str]:
        """The lines that a program prints, which must succeed."""
        command = ["java", "-Xmx256m", "-Djava.net.preferIPv4Stack=true", "-cp", self._path]
        return _done([*command, program, *arguments], stdin).split("\n")[:-1]


def _done(command: list[str], stdin: str = "") -> str:
    """What a command prints in UTF-8, whatever the locale: some characters end lines elsewhere."""
    done = subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()
