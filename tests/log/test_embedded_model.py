"""The embedded log does what a dictionary of lists would do."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kstate.core.messages import Write
from kstate.core.partition import partition_for
from kstate.errors import LogError
from kstate.log.embedded import EmbeddedLog
from kstate.log.port import Committed, TopicSpec
from kstate.testing.log_world import Seat, World

TOPICS = {"commands": 2, "journal": 3}
PLACES = [(topic, p) for topic, partitions in TOPICS.items() for p in range(partitions)]

writes = st.lists(
    st.builds(
        lambda place, hashed, key, value, headers: Write(
            place[0], None if hashed else place[1], key, value, headers, 5
        ),
        st.sampled_from(PLACES),
        st.booleans(),
        st.binary(max_size=3),
        st.none() | st.binary(max_size=50),
        st.lists(st.tuples(st.sampled_from(["a", "b"]), st.binary(max_size=3)), max_size=3),
    ),
    max_size=6,
)
progress = st.dictionaries(
    st.integers(0, 1), st.builds(Committed, st.integers(0, 2**62), st.text("xyz;ä", max_size=5))
)


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "log.db"
        self.world = World(lambda: EmbeddedLog(path, sync="normal", lease_s=600.0), 20.0)
        self.world.log.create_topics([TopicSpec(*topic, "compact") for topic in TOPICS.items()])
        self.records: dict[tuple[str, int], list[Write]] = {place: [] for place in PLACES}
        self.progress: dict[int, Committed] = {}
        self.seat: Seat
        self.owner()

    def owner(self) -> None:
        self.seat = self.world.owner("g", "commands")
        self.delivered = {0: 0, 1: 0}
        for partition in (0, 1):
            self.seat.member.start(partition, 0)

    def add(self, new: list[Write]) -> None:
        for one in new:
            partition = one.partition
            if partition is None:
                partition = partition_for(one.key or b"", TOPICS[one.topic])
            self.records[one.topic, partition].append(one)

    @rule(new=writes, done=progress)
    def commit(self, new: list[Write], done: dict[int, Committed]) -> None:
        bounds = self.seat.member.commit(new, done)
        self.add(new)
        self.progress |= done
        assert all(len(self.records[place]) == bound for place, bound in bounds.items())

    @rule(new=writes, done=progress)
    def commit_something_impossible(self, new: list[Write], done: dict[int, Committed]) -> None:
        wrong = Write("journal", 3, b"k", b"v", [], 5)
        try:
            self.seat.member.commit([*new, wrong], done)
        except LogError:
            return
        raise AssertionError("a partition that does not exist was written")

    @rule(new=writes)
    def produce(self, new: list[Write]) -> None:
        self.world.produce(new)
        self.add(new)

    @rule(at_most=st.integers(1, 5))
    def poll(self, at_most: int) -> None:
        for record in self.seat.poll(at_most, 0.0).records:
            expected = self.records["commands", record.partition][record.offset]
            assert record.offset == self.delivered[record.partition]
            assert record[2:] == expected[2:]
            self.delivered[record.partition] += 1

    @rule(partition=st.integers(0, 1), data=st.data())
    def start_again(self, partition: int, data: st.DataObject) -> None:
        offset = data.draw(st.integers(0, len(self.records["commands", partition])))
        self.seat.member.start(partition, offset)
        self.delivered[partition] = offset

    @rule()
    def take_over(self) -> None:
        self.seat.member.close()
        self.owner()

    @invariant()
    def everything_is_there(self) -> None:
        for topic in TOPICS:
            found = self.world.read(topic)
            for partition in range(TOPICS[topic]):
                mine = [record for record in found if record.partition == partition]
                expected = self.records[topic, partition]
                assert [record[2:] for record in mine] == [one[2:] for one in expected]
                assert [record.offset for record in mine] == list(range(len(expected)))
        assert self.world.log.progress("g", "commands") == self.progress

    def teardown(self) -> None:
        self.world.close()
        self.directory.cleanup()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
