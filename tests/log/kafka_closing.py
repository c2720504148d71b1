"""Members of a group that close at any moment of a rebalance; arguments: SERVERS SEED.

A process of its own: a close that hangs does so in a callback of librdkafka, where nothing but the
end of the process helps.
"""

from __future__ import annotations

import random
import sys
import time
import uuid

from kstate.log.kafka import KafkaLog
from kstate.log.port import TopicSpec

ROUNDS = 20


def main(servers: str, seed: int) -> None:
    chance = random.Random(seed)
    log = KafkaLog(servers)
    topic = f"closing-{uuid.uuid4().hex}"
    log.create_topics([TopicSpec(topic, 4, "delete")])
    for number in range(ROUNDS):
        group = f"{topic}-{number % 4}"
        members = [
            log.join(group, topic, f"{topic}-{each}") for each in range(chance.choice([1, 2]))
        ]
        until = time.monotonic() + chance.choice([0, 0.01, 0.05, 0.1, 0.2, 0.5])
        while time.monotonic() < until:
            for member in members:
                if chance.random() < 0.7:
                    member.poll(1, 0.01)
        chance.shuffle(members)
        for member in members:
            member.close()
    log.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
