"""The proxy between a worker and a broker."""

from __future__ import annotations

import gc
import random
import socket
import threading
import time
import warnings
from collections.abc import Iterator

import pytest

from kstate.testing.proxy import HOST, Proxy

PATIENCE_S = 10.0
SILENCE_S = 0.2
LEAVINGS = 1500
ROUNDS = 20


class Echo:
    """A server that sends everything back."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                taken, _ = self._listener.accept()
            except OSError:
                return  # closed
            self._sockets.append(taken)
            self._threads.append(threading.Thread(target=self._echo, args=(taken,)))
            self._threads[-1].start()

    def _echo(self, taken: socket.socket) -> None:
        try:
            while data := taken.recv(1024):
                taken.sendall(data)
        except OSError:
            return  # reset, or closed

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for each in self._sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # its other end was first
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    made = Proxy(echo.port)
    yield made
    made.close()


@pytest.fixture
def line(proxy: Proxy) -> Iterator[socket.socket]:
    """A connection through the proxy that has carried something."""
    with socket.create_connection((HOST, proxy.port), PATIENCE_S) as made:
        exchange(made, b"hello")
        yield made


def exchange(line: socket.socket, data: bytes) -> None:
    line.sendall(data)
    received = b""
    while len(received) < len(data):
        piece = line.recv(1024)
        assert piece, "the line was closed"
        received += piece
    assert received == data


def is_reset(proxy: Proxy) -> None:
    """A new connection comes to nothing, be it while it is made or when it is used."""
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection((HOST, proxy.port), PATIENCE_S) as late,
    ):
        exchange(late, b"hello")


def test_what_is_sent_arrives_and_the_answer_comes_back(proxy: Proxy, line: socket.socket) -> None:
    exchange(line, bytes(range(256)) * 1000)
    assert proxy.connections == proxy.accepted == 1


def test_a_cut_resets_connections_and_lets_new_ones_in(proxy: Proxy, line: socket.socket) -> None:
    assert proxy.cut() == 1
    with pytest.raises(ConnectionResetError):
        exchange(line, b"again")
    with socket.create_connection((HOST, proxy.port), PATIENCE_S) as anew:
        exchange(anew, b"anew")


def test_a_cut_of_no_share_spares_all(proxy: Proxy, line: socket.socket) -> None:
    assert proxy.cut(0.0, random.Random(1)) == 0
    exchange(line, b"still there")


def test_a_proxy_that_is_shut_resets_whoever_comes(proxy: Proxy, line: socket.socket) -> None:
    proxy.shut()
    is_reset(proxy)
    exchange(line, b"who was there before stays")
    proxy.open()
    with socket.create_connection((HOST, proxy.port), PATIENCE_S) as later:
        exchange(later, b"hello")


def test_data_that_is_held_arrives_when_it_is_released(proxy: Proxy, line: socket.socket) -> None:
    proxy.hold()
    line.sendall(b"held")
    line.settimeout(SILENCE_S)
    with pytest.raises(TimeoutError):
        line.recv(1024)
    line.settimeout(PATIENCE_S)
    proxy.release()
    assert line.recv(1024) == b"held"


def test_a_delay_is_waited_out_both_ways(proxy: Proxy, line: socket.socket) -> None:
    proxy.delay_s = 0.1
    began = time.monotonic()
    exchange(line, b"slow")
    assert time.monotonic() - began >= 0.2


def test_a_target_that_is_gone_resets_the_connection(proxy: Proxy, echo: Echo) -> None:
    with socket.create_server((HOST, 0)) as gone:
        proxy.target = gone.getsockname()[1]
    is_reset(proxy)


def test_closing_ends_everything_and_may_be_repeated(proxy: Proxy, line: socket.socket) -> None:
    proxy.close()
    proxy.close()
    with pytest.raises(ConnectionResetError):
        exchange(line, b"hello")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, proxy.port), PATIENCE_S)


def test_closing_right_after_a_line_ended_leaves_no_connection_open(echo: Echo) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        for _ in range(LEAVINGS):
            proxy = Proxy(echo.port)
            with socket.create_connection((HOST, proxy.port), PATIENCE_S) as line:
                exchange(line, b"hello")
            proxy.close()
        gc.collect()
    assert not [str(each.message) for each in seen]


def test_closing_while_others_connect_leaves_no_connection_open() -> None:
    connected, over = threading.Event(), threading.Event()

    def connect(port: int) -> None:
        while not over.is_set():
            try:
                socket.create_connection((HOST, port), SILENCE_S / 4).close()
            except OSError:
                continue  # it is closed, or about to be
            connected.set()

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        for _ in range(ROUNDS):
            proxy = Proxy()  # without a target: whoever comes is reset
            connected.clear()
            over.clear()
            others = [threading.Thread(target=connect, args=(proxy.port,)) for _ in range(4)]
            for each in others:
                each.start()
            assert connected.wait(PATIENCE_S)
            proxy.close()
            over.set()
            for each in others:
                each.join()
        gc.collect()
    assert not [str(each.message) for each in seen if "transport" in str(each.message)]
