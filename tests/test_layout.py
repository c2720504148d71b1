"""Who may import whom, read from the imports themselves; and a few rules of style.

Imports go one way: cli → wiring → adapters → ports → core → errors.  Imports for type checkers and
those inside functions count like the others.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import kstate

ROOT = Path(__file__).parent.parent
MAX_LINES = 400

PORTS = ("kstate.log.port", "kstate.store.port", "kstate.codec.port")
ADAPTERS = {
    "the embedded log": "kstate.log.embedded",
    "the Kafka log": "kstate.log.kafka",
    "the store memory": "kstate.store.memory",
    "the store sqlitedict": "kstate.store.sqlitedict",
    "the store rocksdb": "kstate.store.rocksdb",
}
"""Each by the beginning of its modules' names."""
OF_ALL_STORES = ("kstate.store.files",)
DERIVATION = ("kstate.codec.derive", "kstate.codec.hints")
"""From annotations to schemas: pure, and needed when a processor is defined."""

LOW = ("kstate.core", "kstate.errors")
MIDDLE = (*LOW, *PORTS, "kstate.processor", "kstate.config")

RULES: list[tuple[str, str, tuple[str, ...]]] = [
    # module or package, in words; what it may import, by the beginning of the name
    ("kstate.errors", "errors imports nothing", ()),
    ("kstate.core", "core imports only core and errors", LOW),
    ("kstate.log.port", "a port imports only core and errors", LOW),
    ("kstate.store.port", "a port imports only core and errors", LOW),
    ("kstate.codec.port", "a port imports only core and errors", LOW),
    (
        "kstate.log.embedded",
        "an adapter imports its port, core, errors and itself",
        (*LOW, "kstate.log.port", "kstate.log.embedded"),
    ),
    (
        "kstate.log.kafka",
        "an adapter imports its port, core, errors and itself",
        (*LOW, "kstate.log.port", "kstate.log.kafka"),
    ),
    *(
        (
            name,
            "a store imports its port, errors, itself and what all stores share",
            (*LOW, "kstate.store.port", *OF_ALL_STORES, name),
        )
        for name in ("kstate.store.memory", "kstate.store.sqlitedict", "kstate.store.rocksdb")
    ),
    ("kstate.store.files", "what stores share knows no store", (*LOW, "kstate.store.port")),
    ("kstate.codec", "the codec imports its port, core, errors and itself", (*LOW, "kstate.codec")),
    ("kstate.config", "settings import only core and errors", LOW),
    (
        "kstate.checks",
        "a processor's checks import core, errors and the derivation of schemas",
        (*LOW, *DERIVATION, "kstate.processor"),
    ),
    (
        "kstate.processor",
        "a processor's class imports core, errors, its checks and the derivation of schemas",
        (*LOW, *DERIVATION, "kstate.checks"),
    ),
    ("kstate.runtime", "the runtime sees ports, never adapters", (*MIDDLE, "kstate.runtime")),
    *(
        (
            f"kstate.{name}",
            "the client's side sees ports, never adapters",
            (*MIDDLE, "kstate.query", "kstate.client", "kstate.replies", "kstate.async_client"),
        )
        for name in ("query", "client", "replies", "async_client")
    ),
    (
        "kstate.event_handler",
        "an event handler's class imports the processor's and the checks it shares",
        (*LOW, "kstate.processor", "kstate.projection.subjects"),
    ),
    (
        "kstate.projection",
        "who follows a journal sees ports, never adapters",
        (*MIDDLE, "kstate.query", "kstate.projection", "kstate.event_handler"),
    ),
    (
        "kstate.transfer",
        "what copies journals stands on ports, the codec and the runtime's checks of topics",
        (*MIDDLE, "kstate.codec", "kstate.runtime", "kstate.transfer"),
    ),
    (
        "kstate.verify",
        "a verification sees ports, never adapters or codecs",
        (*LOW, *PORTS, "kstate.verify"),
    ),
    (
        "kstate.wiring",
        "wiring imports everything below it",
        (
            *MIDDLE,
            *ADAPTERS.values(),
            "kstate.codec",
            "kstate.runtime",
            "kstate.client",
            "kstate.query",
            "kstate.projection",
            "kstate.event_handler",
        ),
    ),
    (
        "kstate.upkeep",
        "the rebuilding of snapshots stands on wiring, the client and the runtime",
        (*MIDDLE, "kstate.wiring", "kstate.client", "kstate.query", "kstate.runtime"),
    ),
    (
        "kstate.inprocess",
        "workers in a program of one's own stand on wiring and the runtime",
        (*MIDDLE, "kstate.wiring", "kstate.runtime"),
    ),
    (
        "kstate.aio",
        "the asyncio front stands on wiring and the client",
        (*LOW, "kstate.wiring", "kstate.async_client"),
    ),
    (
        "kstate.cli",
        "the command line gets logs and stores from wiring alone",
        (
            *MIDDLE,
            "kstate.cli",
            "kstate.codec",
            "kstate.wiring",
            "kstate.runtime",
            "kstate.client",
            "kstate.query",
            "kstate.projection",
            "kstate.event_handler",
            "kstate.transfer",
            "kstate.aio",
            "kstate.verify",
            "kstate.upkeep",
        ),
    ),
    (
        "kstate.testing",
        "what tests share stands on ports",
        (*MIDDLE, "kstate.testing"),
    ),
]

FOLDERS = ("kstate", "processors", "benchmarks", "demo")


def modules(*folders: str) -> dict[str, Path]:
    """Every module below these folders, by its dotted name."""
    found = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = path
    return found


CODE = modules(*FOLDERS)
KSTATE = {name: path for name, path in CODE.items() if name.partition(".")[0] == "kstate"}
TESTS = modules("tests")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of each import of this project; an empty name: the module itself."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports relatively: write kstate.…"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                if submodule in CODE:
                    yield node.lineno, submodule, ""
                else:
                    yield node.lineno, node.module or "", alias.name


def begins(name: str, beginning: str) -> bool:
    """Whether a module is this one, below it, or one of an adapter's named ``beginning_…``."""
    return name == beginning or name.startswith((f"{beginning}.", f"{beginning}_"))


def rule_of(name: str) -> tuple[str, str, tuple[str, ...]] | None:
    """The rule with the longest name that fits."""
    fitting = [rule for rule in RULES if begins(name, rule[0])]
    return max(fitting, key=lambda rule: len(rule[0]), default=None)


def ours(name: str) -> bool:
    return name.partition(".")[0] in (*FOLDERS, "tests")


@pytest.mark.parametrize("name", sorted(set(KSTATE) - {"kstate"}))
def test_imports_go_one_way(name: str) -> None:
    path = KSTATE[name]
    if path.name == "__init__.py":
        assert not list(imports(path)), f"{name} is a folder's docstring and imports nothing"
        return
    rule = rule_of(name)
    assert rule is not None, f"no rule says what {name} may import: add one"
    _, words, allowed = rule
    for line, module, _ in imports(path):
        if ours(module):
            fits = any(begins(module, each) for each in allowed)
            assert fits, f"{path.relative_to(ROOT)}:{line} imports {module}, but {words}"


def test_a_rule_stands_for_every_adapter_and_each_adapter_is_there() -> None:
    for words, beginning in ADAPTERS.items():
        assert any(begins(name, beginning) for name in KSTATE), f"{words} has no module"
        rule = rule_of(beginning)
        assert rule is not None
        assert rule[0] == beginning


def test_every_rule_is_of_a_module_that_exists() -> None:
    for beginning, _, allowed in RULES:
        for each in (beginning, *allowed):
            assert any(begins(name, each) for name in KSTATE), f"{each} is not there any more"


def test_only_wiring_names_adapters_of_logs_and_stores() -> None:
    for name, path in KSTATE.items():
        for line, module, _ in imports(path):
            for words, beginning in ADAPTERS.items():
                if begins(module, beginning) and not begins(name, beginning):
                    where = f"{path.relative_to(ROOT)}:{line}"
                    assert name == "kstate.wiring", f"{where} names {words}: only wiring may"


def test_kstate_imports_neither_testing_nor_anything_outside() -> None:
    for name, path in KSTATE.items():
        for line, module, _ in imports(path):
            top = module.partition(".")[0]
            where = f"{path.relative_to(ROOT)}:{line} imports {module}"
            assert top == "kstate" or not ours(module), where
            if begins(module, "kstate.testing"):
                assert begins(name, "kstate.testing"), where


def test_the_package_offers_names_of_the_client_the_core_and_nothing_of_logs_and_stores() -> None:
    allowed = (
        *(*LOW, *DERIVATION, "kstate.processor", "kstate.wiring", "kstate.client", "kstate.query"),
        *("kstate.projection", "kstate.event_handler", "kstate.inprocess"),
    )
    for line, module, _ in imports(KSTATE["kstate"]):
        fits = any(begins(module, each) for each in allowed)
        assert fits or not ours(module), f"line {line} imports {module}"


@pytest.mark.parametrize("name", sorted(n for n in CODE if begins(n, "processors")))
def test_a_processor_imports_only_public_names(name: str) -> None:
    for line, module, what in imports(CODE[name]):
        if begins(module, "kstate"):
            public = module == "kstate" and (not what or what in kstate.__all__)
            assert public, f"{name}, line {line}, imports {module} {what}: it is not public"


# -- style ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CODE))
def test_no_module_has_more_than_400_lines(name: str) -> None:
    lines = len(CODE[name].read_text().splitlines())
    assert lines <= MAX_LINES, f"{name} has {lines} lines: part it"


@pytest.mark.parametrize("name", sorted(CODE))
def test_every_module_says_what_it_is(name: str) -> None:
    path = CODE[name]
    assert ast.get_docstring(parse(path)), f"{path.relative_to(ROOT)} has no docstring"


def sleeps(tree: ast.AST, waiting: bool = False) -> Iterator[int]:
    """The lines that sleep for a fixed time outside a loop that looks for something.

    A length that is a variable is a command's or a fault's own, not a guess how long others take.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and not waiting:
            name = ast.unparse(node.func)
            fixed = bool(node.args) and isinstance(node.args[0], ast.Constant)
            if name in ("time.sleep", "sleep", "asyncio.sleep") and fixed:
                yield node.lineno
        loops = isinstance(node, ast.While) and not isinstance(node.test, ast.Constant)
        yield from sleeps(node, waiting or loops)


@pytest.mark.parametrize("name", sorted(TESTS))
def test_no_test_sleeps_and_hopes(name: str) -> None:
    for line in sleeps(parse(TESTS[name])):
        pytest.fail(f"{TESTS[name].relative_to(ROOT)}:{line} sleeps: wait for a condition")


def test_a_sleep_is_found_where_it_hides() -> None:
    hoping = "def f():\n    time.sleep(1)\n    while x():\n        time.sleep(0.1)\n"
    assert list(sleeps(ast.parse(hoping))) == [2]
