"""A container for tests starts on the loopback address alone, or there is one clause why not."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path

import pytest
from fake_engine import FakeEngine

from kstate.testing import broker
from kstate.testing.broker import Container, NoContainer, container
from kstate.testing.kafka_local import NoLocalKafka


def described(port: int) -> Container:
    return Container("an/image:1", {"COLOUR": "red"}, {80: port})


def why_not() -> str:
    """Why the container does not start."""
    with pytest.raises(NoContainer) as caught, container(described, lambda port: False):
        raise AssertionError("it started")
    return str(caught.value)


def test_it_runs_on_a_free_port_of_the_loopback_address_until_the_block_ends(
    engine: FakeEngine,
) -> None:
    asked: list[int] = []

    def answers(port: int) -> bool:
        asked.append(port)
        return len(asked) == 3

    with container(described, answers) as port:
        assert engine.bindings == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
        assert engine.created[-1]["Image"] == "an/image:1"
        assert engine.environment == {"COLOUR": "red"}
        assert engine.removed == 0
    assert asked == [port] * 3
    assert engine.removed == 1


def test_what_the_block_raises_is_its_own_and_ends_the_container(engine: FakeEngine) -> None:
    def block() -> None:
        with container(described, lambda port: True):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        block()
    assert engine.removed == 1


def test_testcontainers_may_use_what_it_has_deprecated(engine: FakeEngine) -> None:
    def answers(port: int) -> bool:
        warnings.warn("use something else", DeprecationWarning, stacklevel=1)
        return True

    with container(described, answers):
        assert engine.created


def test_an_image_that_is_not_here_is_pulled(engine: FakeEngine) -> None:
    engine.has_image = False
    with container(described, lambda port: True):
        assert engine.has_image


def test_an_image_that_cannot_be_pulled(engine: FakeEngine) -> None:
    engine.has_image = False
    engine.refuses["pull"] = "no route to the hub."
    assert why_not().startswith("Docker does not run an/image:1 (APIError: 500 Server Error")
    assert "no route to the hub" in why_not()
    assert not engine.created


def test_a_refused_creation(engine: FakeEngine) -> None:
    engine.refuses["create"] = "no space left on device"
    assert "no space left on device" in why_not()


def test_a_port_that_was_taken_meanwhile(engine: FakeEngine) -> None:
    engine.refuses["start"] = "Bind for 127.0.0.1:80 failed: port is already allocated"
    assert "port is already allocated" in why_not()
    assert engine.removed == 1


def test_a_container_that_ends_at_once_is_told_with_its_last_words(engine: FakeEngine) -> None:
    engine.status = "exited"
    engine.says = "line one\nno such user\n"
    assert why_not() == (
        "Docker does not run an/image:1 "
        "(RuntimeError: it is exited and said: line one no such user)"
    )
    assert engine.removed == 1


def test_a_container_that_never_answers(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "START_TIMEOUT_S", 0.0)
    assert "TimeoutError: it did not answer within 0 s" in why_not()
    assert engine.removed == 1


def test_a_log_that_never_says_that_it_has_started(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "START_TIMEOUT_S", 1.0)
    engine.says = "still starting"
    with (
        pytest.raises(NoContainer, match=r"TimeoutError: .*'up at last'"),
        container(lambda port: Container("an/image:1", {}, {}, "up at last"), lambda port: True),
    ):
        raise AssertionError("it started")
    assert engine.removed == 1


def test_a_long_story_is_cut(engine: FakeEngine) -> None:
    engine.refuses["start"] = "word " * 1000
    assert len(why_not()) < 500


def test_an_engine_that_is_gone_again_leaves_no_socket_open(
    monkeypatch: pytest.MonkeyPatch, bare: None, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.setattr(broker, "docker_runs", lambda: True)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert "DockerException" in why_not()
        gc.collect()
    assert not [str(each.message) for each in seen]


def test_without_an_engine(bare: None) -> None:
    assert why_not() == "no Docker engine answers"


def test_without_a_free_port(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_free(count: int) -> list[int]:
        raise NoLocalKafka(f"fewer than {count} ports are free")

    monkeypatch.setattr(broker, "free_ports", none_free)
    assert why_not() == "fewer than 1 ports are free"
