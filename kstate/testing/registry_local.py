"""A schema registry for tests: a given one, else Docker, else local jars, else a reason why not.

Apicurio Registry serves Confluent's API.  From its jars it needs Java 17 or newer and, the first
time, Maven; it listens on the loopback address alone and keeps its schemas in a directory, so that
it may be ended and started again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kstate.testing.broker import Container, NoContainer, container
from kstate.testing.kafka_local import HOST, NoLocalKafka, free_ports, java_problem

VARIABLE = "KSTATE_TEST_REGISTRY"
VERSION = "3.0.9"
IMAGE = f"apicurio/apicurio-registry:{VERSION}"
PATH = "/apis/ccompat/v7"
PORT = 8080
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0

_ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
_RUNNER = f"apicurio-registry-app-{VERSION}-runner.jar"


class NoRegistry(Exception):
    """Why there is no schema registry to test with; one sentence with the cure."""


@contextmanager
def registry() -> Iterator[str]:
    """The URL of a schema registry to test with, ended with the block if it began with it.

    Looks for ``KSTATE_TEST_REGISTRY``, then for Docker, then for Java and Maven; what does not
    start is passed over.  Raises `NoRegistry`.
    """
    given = os.environ.get(VARIABLE)
    if given:
        yield given
        return
    with ExitStack() as stack:
        try:
            url = _url(stack.enter_context(container(registry_container, _serves)))
        except NoContainer as without:
            try:
                url = stack.enter_context(local_registry()).url
            except NoRegistry as error:
                raise NoRegistry(
                    f"no schema registry to test with: {VARIABLE} is not set, {without}, and "
                    f"{error}; set it, start Docker, or install Java 17 and Maven"
                ) from error
        yield url


def registry_container(port: int) -> Container:
    """Apicurio as its image has it: its schemas are in memory."""
    return Container(IMAGE, {}, {PORT: port})


def _serves(port: int) -> bool:
    return _answers(_url(port))


def _url(port: int) -> str:
    return f"http://{HOST}:{port}{PATH}"


@contextmanager
def local_registry() -> Iterator[LocalRegistry]:
    """Apicurio from its jars in a temporary directory, gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="kstate-registry-") as directory:
        local = LocalRegistry(Path(directory))
        try:
            local.start()
            yield local
        finally:
            local.stop()


class LocalRegistry:
    """Apicurio in a process of its own, its schemas below ``directory``.

    Raises `NoRegistry` where it cannot be run.
    """

    def __init__(self, directory: Path) -> None:
        self._runner = _folder() / _RUNNER
        self._directory = directory
        try:
            (self._port,) = free_ports(1)
        except NoLocalKafka as error:
            raise NoRegistry(str(error)) from error
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it serves Confluent's API."""
        return _url(self._port)

    @property
    def running(self) -> bool:
        """Whether it was started and neither stopped nor ended by itself."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it on what it has on disk; returns when it answers."""
        output = (self._directory / "output").open("ab")
        settings = {
            "QUARKUS_HTTP_HOST": HOST,
            "QUARKUS_HTTP_PORT": str(self._port),
            "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{self._directory}/schemas",
        }
        command = [
            "java", "-Xmx512m", "-Djava.net.preferIPv4Stack=true", "-jar", str(self._runner),
        ]  # fmt: skip
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=os.environ | settings,
            )
        finally:
            output.close()
        self._await(self._process)

    def stop(self) -> None:
        """A clean shutdown; killed when it takes too long.  The schemas stay.  Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                output = (self._directory / "output").read_text(errors="replace")
                raise NoRegistry(f"Apicurio ended with {process.returncode}: {output[-800:]}")
            if _answers(self.url):
                return
            time.sleep(0.1)
        raise NoRegistry(f"Apicurio did not answer within {START_TIMEOUT_S:.0f} s")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/subjects", timeout=2.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _folder() -> Path:
    """The folder with Apicurio's jars, filled by Maven the first time."""
    problem = java_problem()
    if problem is not None:
        raise NoRegistry(problem)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kstate"
    folder = cache / f"apicurio-{VERSION}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two test runs at once, one fetches
        if not folder.is_dir():
            _fetch(cache, folder)
    return folder


def _fetch(cache: Path, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise NoRegistry("there is no mvn to fetch Apicurio's jars with")
    with tempfile.TemporaryDirectory(dir=cache) as work:
        # the archive itself: its dependencies are in it
        command = [
            maven, "-q", "-B", "dependency:copy", f"-Dartifact={_ARTIFACT}",
            "-DoutputDirectory=got",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        archives = list(Path(work, "got").glob("*.tar.gz"))
        if done.returncode or not archives:
            raise NoRegistry(f"mvn could not fetch Apicurio's jars: {done.stdout.strip()[-500:]}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(Path(work) / "jars", filter="data")
        os.rename(Path(work) / "jars", folder)
