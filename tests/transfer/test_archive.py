"""What goes into an archive comes out of it, and what does not is noticed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kstate.codec.book import Book
from kstate.codec.port import SchemaRecord
from kstate.codec.snapshots import Envelopes, encode_envelope
from kstate.core.messages import UNREADABLE_HEADERS, Record, Snapshot
from kstate.core.topics import event_key
from kstate.errors import ArchiveError, JournalError
from kstate.transfer.entities import Entities, unbound
from kstate.transfer.files import FileWriter, check_file, packed, read_file
from kstate.transfer.manifest import File, Kind, Manifest, Reached, load

SLOW_DISKS = settings(deadline=None)  # every file is made to last
TEXT = st.text(st.characters(exclude_categories=("Cs",)))
PERSIST_ID = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=50)
INT64 = st.integers(-(2**63), 2**63 - 1)
HEADERS = st.lists(st.tuples(TEXT, st.none() | st.binary(max_size=50)), max_size=6)
VALUE = st.none() | st.binary(max_size=200)
OFFSET = st.integers(0, 2**63 - 1)


@st.composite
def events(draw: st.DrawFn) -> Record:
    key = event_key(draw(PERSIST_ID).encode(), draw(st.integers(1, 2**63 - 1)))
    return Record(3, draw(OFFSET), key, draw(VALUE), draw(HEADERS), draw(INT64))  # type: ignore[arg-type]


@st.composite
def snapshots(draw: st.DrawFn) -> Record:
    key = draw(PERSIST_ID).encode()
    return Record(3, draw(OFFSET), key, draw(VALUE), draw(HEADERS), draw(INT64))  # type: ignore[arg-type]


ENVELOPES = st.builds(
    Snapshot,
    seq=st.integers(0, 2**63 - 1),
    state=st.none(),
    version=st.integers(-(2**31), 2**31 - 1),
    journal_offset=INT64,
    at=INT64,
    deleted=st.booleans(),
    recent=st.dictionaries(
        st.binary(min_size=16, max_size=16),
        st.tuples(INT64, INT64, st.none() | st.binary(max_size=20)),
        max_size=3,
    ),
    removed=st.integers(0, 2**63 - 1),
    erased=INT64,
)


@contextmanager
def directory() -> Iterator[Path]:
    """A directory for one example: the fixture is one for all of them."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def written(there: Path, kind: Kind, records: list[Record]) -> File:
    writer = FileWriter(there, "one.avro", kind, 3)
    for record in records:
        writer.write(record)
    return writer.close()


@settings(SLOW_DISKS)
@given(st.lists(events(), max_size=20))
def test_events_come_out_as_they_went_in(records: list[Record]) -> None:
    with directory() as there:
        file = written(there, "journal", records)
        assert list(read_file(there, file)) == records
        assert file.records == len(records)
        assert file.bytes == (there / file.name).stat().st_size
        check_file(there, file)


@settings(SLOW_DISKS)
@given(st.lists(snapshots(), max_size=20))
def test_snapshots_come_out_as_they_went_in(records: list[Record]) -> None:
    with directory() as there:
        assert list(read_file(there, written(there, "snapshots", records))) == records


@settings(SLOW_DISKS, max_examples=50)
@given(st.lists(events(), min_size=1, max_size=5), st.data())
def test_a_changed_byte_anywhere_is_noticed(records: list[Record], data: st.DataObject) -> None:
    with directory() as there:
        file = written(there, "journal", records)
        path = there / file.name
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(bytes(content))
        with pytest.raises(ArchiveError, match="its checksum is wrong"):
            check_file(there, file)


@settings(SLOW_DISKS)
@given(ENVELOPES, st.none() | st.binary(max_size=50))
def test_a_snapshot_for_another_journal_differs_in_its_bound_alone(
    envelope: Snapshot, state: bytes | None
) -> None:
    found = Envelopes(Book()).decode(unbound(encode_envelope(envelope, state)))
    assert found == (replace(envelope, journal_offset=0), state)


@settings(SLOW_DISKS)
@given(
    st.builds(
        Manifest,
        processor=TEXT,
        prefix=TEXT,
        partitions=st.integers(1, 100),
        topics=st.dictionaries(TEXT, TEXT, max_size=2),
        created=TEXT,
        complete=st.booleans(),
        reached=st.lists(st.builds(Reached, OFFSET, OFFSET, OFFSET, st.booleans()), max_size=3),
        files=st.lists(
            st.builds(
                File, TEXT, st.sampled_from(["journal", "snapshots"]), OFFSET, OFFSET, OFFSET, TEXT
            ),
            max_size=3,
        ),
    ),
    st.lists(
        st.builds(
            SchemaRecord,
            TEXT.map(str.encode),
            TEXT.map(str.encode),
            st.lists(st.tuples(TEXT, TEXT.map(str.encode)), max_size=2),
        ),
        max_size=3,
    ),
)
def test_a_manifest_comes_out_as_it_went_in(
    manifest: Manifest, schemas: list[SchemaRecord]
) -> None:
    with directory() as there:
        manifest.keep_schemas(schemas)
        manifest.save(there)
        assert load(there) == manifest
        assert manifest.schema_records() == schemas


def test_a_file_bears_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path, "one.avro", "journal", 0)
    writer.write(Record(0, 0, b"a@1", b"x", [], 0))
    assert [path.name for path in tmp_path.iterdir()] == ["one.avro.part"]
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["one.avro"]


def test_a_file_can_be_read_by_any_avro_library(tmp_path: Path) -> None:
    from avro.datafile import DataFileReader
    from avro.io import DatumReader

    file = written(tmp_path, "journal", [Record(3, 7, b"a@1", b"x", [("type", b"T")], 5)])
    with (tmp_path / file.name).open("rb") as opened:
        (found,) = DataFileReader(opened, DatumReader())
    assert found == {
        "persist_id": "a",
        "seq": 1,
        "offset": 7,
        "timestamp": 5,
        "headers": [{"name": "type", "value": b"T"}],
        "value": b"x",
    }


@pytest.mark.parametrize(
    ("kind", "key"),
    [("journal", b"no seq"), ("journal", None), ("journal", b"\xff@1"), ("snapshots", b"\0other"),
     ("snapshots", None), ("snapshots", b"\xff")],
)  # fmt: skip
def test_a_record_of_no_worker_is_refused(kind: Kind, key: bytes | None) -> None:
    with pytest.raises(JournalError, match=f"the {kind} topic has a foreign record at 2:9"):
        packed(kind, Record(2, 9, key, b"x", [], 0))


def test_a_record_whose_headers_no_text_names_is_refused() -> None:
    with pytest.raises(JournalError, match="the name of a header is no text"):
        packed("journal", Record(2, 9, b"a@1", b"x", UNREADABLE_HEADERS, 0))


# -- seqs ------------------------------------------------------------------------------------------


def snapshot(key: bytes, seq: int, removed: int = 0) -> Record:
    value = encode_envelope(Snapshot(seq, None, 1, 0, 0, False, {}, removed), b"\xc3\x01state")
    return Record(0, 0, key, value, [], 0)


def test_events_from_1_on_are_complete() -> None:
    known = Entities(Book())
    for seq in (1, 2, 3):
        known.event(b"a", seq)
    known.check()


def test_events_behind_a_snapshot_are_complete() -> None:
    known = Entities(Book())
    known.snapshot(snapshot(b"a", 4))
    known.event(b"a", 5)
    known.check()


def test_a_hole_that_a_snapshot_covers_is_none() -> None:
    known = Entities(Book())
    for seq in (1, 2, 5):
        known.event(b"a", seq)
    known.snapshot(snapshot(b"a", 4))
    known.check()


@pytest.mark.parametrize("covered", [0, 3])
def test_a_hole_is_refused(covered: int) -> None:
    known = Entities(Book())
    known.event(b"a", 5)
    if covered:
        known.snapshot(snapshot(b"a", covered))
    with pytest.raises(JournalError, match=f"seq 5 follows {covered}"):
        known.check()


def test_a_repeated_seq_is_refused() -> None:
    known = Entities(Book())
    known.event(b"a", 1)
    with pytest.raises(JournalError, match="seq 1 is repeated"):
        known.event(b"a", 1)


def test_a_snapshot_that_was_taken_away_covers_nothing() -> None:
    known = Entities(Book())
    known.snapshot(snapshot(b"a", 4, removed=4))
    known.snapshot(Record(0, 1, b"a", None, [], 0))
    assert not known.gone(b"a", 1)
