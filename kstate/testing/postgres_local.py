"""A PostgreSQL for tests: a given one, else Docker, else local binaries, else one clear reason.

Local binaries run in a temporary directory, on a port of the loopback address, and as a user
without rights where the tests run as root: PostgreSQL refuses to be root.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kstate.testing.broker import Container, NoContainer, container
from kstate.testing.kafka_local import HOST, free_ports

VARIABLE = "KSTATE_TEST_POSTGRES"
IMAGE = "postgres:16"
START_TIMEOUT_S = 60
USER = "kstate"
"""Of the server."""
USERS = ("postgres", "nobody")
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")  # Debian's, Red Hat's


class NoPostgres(Exception):
    """Why there is no PostgreSQL to test with; one sentence with the cure."""


@contextmanager
def postgres() -> Iterator[str]:
    """SQLAlchemy's URL of a server whose databases may be made and dropped.

    Looks for ``KSTATE_TEST_POSTGRES``, then for Docker, then for binaries; what does not start is
    passed over.  Raises `NoPostgres`.
    """
    given = os.environ.get(VARIABLE)
    if given:
        yield given
        return
    with ExitStack() as stack:
        try:
            url = _url(stack.enter_context(container(postgres_container, _answers)))
        except NoContainer as without:
            try:
                url = stack.enter_context(_local())
            except NoPostgres as error:
                raise NoPostgres(
                    f"no PostgreSQL to test with: {VARIABLE} is not set, {without}, and {error}; "
                    "set it, start Docker, or install PostgreSQL (apt-get install postgresql)"
                ) from error
        yield url


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """The URL of a new, empty database on a server, dropped at the end of the block."""
    from sqlalchemy import create_engine, make_url, text

    name = f"kstate_{uuid.uuid4().hex[:12]}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        try:
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            with engine.connect() as connection:
                connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    finally:
        engine.dispose()


def binaries() -> Path | None:
    """The folder of ``initdb`` and ``postgres``, the newest there is; None without one."""
    found = [path for place in _PLACES for path in Path("/").glob(place.lstrip("/"))]
    found.sort(key=lambda path: [int(each) for each in re.findall(r"\d+", str(path))])
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path).parent)
    usable = [path for path in found if (path / "initdb").exists() and (path / "postgres").exists()]
    return usable[-1] if usable else None


def postgres_container(port: int) -> Container:
    """A server like the local one: whoever reaches the loopback address is let in."""
    environment = {"POSTGRES_USER": USER, "POSTGRES_HOST_AUTH_METHOD": "trust"}
    return Container(IMAGE, environment, {5432: port})


def _answers(port: int) -> bool:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError

    engine = create_engine(_url(port), connect_args={"connect_timeout": 2})
    try:
        engine.connect().close()
    except DBAPIError:
        return False
    finally:
        engine.dispose()
    return True


def _url(port: int) -> str:
    return f"postgresql+psycopg://{USER}@{HOST}:{port}/postgres"


@contextmanager
def _local() -> Iterator[str]:
    folder = binaries()
    if folder is None:
        raise NoPostgres("there is no initdb")
    account = _account()
    with tempfile.TemporaryDirectory(prefix="kstate-postgres-") as directory:
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        data = Path(directory) / "data"
        (port,) = free_ports(1)
        # durability of the machine is nobody's concern here; that of the process is kept
        options = f"-c listen_addresses={HOST} -p {port} -k {directory} -c fsync=off"
        _run(account, [folder / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8"])
        control = [folder / "pg_ctl", "-D", data, "-w", "-t", str(START_TIMEOUT_S)]
        _run(account, [*control, "-o", options, "-l", Path(directory) / "log", "start"])
        try:
            yield _url(port)
        finally:
            _run(account, [*control, "-m", "immediate", "stop"])


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as; None: as whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgres(
        f"PostgreSQL does not run as root, and there is no user {' or '.join(USERS)} to run it as; "
        "run the tests as another user"
    )


def _run(account: pwd.struct_passwd | None, command: Sequence[object]) -> None:
    as_user = {} if account is None else {
        "user": account.pw_uid, "group": account.pw_gid, "extra_groups": [],
    }  # fmt: skip
    with tempfile.TemporaryFile("w+") as output:  # not a pipe: the server would keep it open
        done = subprocess.run(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            check=False,
            **as_user,  # type: ignore[call-overload]
        )
        if done.returncode:
            output.seek(0)
            said = " ".join(output.read().split())[-600:]
            name = Path(str(command[0])).name
            raise NoPostgres(f"PostgreSQL does not start: {name} ended with {said}")
