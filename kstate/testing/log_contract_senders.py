"""What `kstate.log.port` promises to those who share a producer: each hears of its own records."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from kstate.errors import LogError
from kstate.log.port import Sender
from kstate.testing.log_hooks import LogHooks
from kstate.testing.log_world import World, write


class SenderPromises(LogHooks):
    """Whose flush waits for a record, and whose raises for it."""

    def test_a_record_that_was_not_stored_is_told_to_its_sender_alone(self, world: World) -> None:
        topic, producer = world.topic(), world.producer()
        unlucky, lucky, other = Sender(), Sender(), Sender()
        producer.send(write("never-created", 0, b"v"), unlucky)
        producer.send(write(topic, 0, b"v"), lucky)

        def send_and_flush() -> None:
            producer.send(write("never-created", 0, b"v"), other)
            producer.flush(self.patience_s, other)

        with pytest.raises(LogError):  # now the log has said what it does not have
            send_and_flush()
        producer.flush(self.patience_s, lucky)
        producer.flush(self.patience_s)
        with pytest.raises(LogError):
            producer.flush(self.patience_s, unlucky)
        producer.flush(self.patience_s, unlucky)
        assert world.values(topic) == [b"v"]

    def test_a_thread_is_told_of_its_own_records(self, world: World) -> None:
        topic, producer = world.topic(), world.producer()
        with ThreadPoolExecutor(1) as other:
            other.submit(producer.send, write("never-created", 0, b"v")).result()
            producer.send(write(topic, 0, b"v"))
            producer.flush(self.patience_s)
            with pytest.raises(LogError):
                other.submit(producer.flush, self.patience_s).result()
        producer.flush(self.patience_s)

    def test_what_a_thread_that_ended_was_not_told_goes_to_the_next_that_flushes(
        self, world: World
    ) -> None:
        producer, call = world.producer(), Sender()
        with ThreadPoolExecutor(1) as gone:
            gone.submit(producer.send, write("never-created", 0, b"v")).result()
        producer.flush(self.patience_s, call)  # who sends for one call asks for that alone
        with pytest.raises(LogError):
            producer.flush(self.patience_s)
        producer.flush(self.patience_s)

    def test_closing_a_producer_tells_what_nobody_was_told(self, world: World) -> None:
        producer = world.log.producer()
        with ThreadPoolExecutor(1) as other:
            other.submit(producer.send, write("never-created", 0, b"v")).result()
            with pytest.raises(LogError):
                producer.close()
        producer.close()
