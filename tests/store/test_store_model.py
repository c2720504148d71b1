"""Whatever is done to a store, it holds what a dict would."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kstate.store.memory import MemoryStore
from kstate.store.rocksdb import RocksDBStore
from kstate.store.sqlitedict import SqliteDictStore
from kstate.testing.store_children import checkpoint_at
from kstate.testing.store_contract import HOSTILE_KEYS

keys = st.sampled_from(HOSTILE_KEYS) | st.binary(max_size=3)
values = st.none() | st.binary(max_size=40)
changes = st.dictionaries(keys, values, max_size=8)
steps = st.lists(changes | st.sampled_from(["clear", "reopen"]), max_size=12)


@pytest.mark.parametrize("adapter", [MemoryStore, SqliteDictStore, RocksDBStore])
@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_a_store_equals_a_dict_after_every_step(adapter, steps):
    with tempfile.TemporaryDirectory() as directory:
        store = adapter(Path(directory))
        partition = store.open("bank.snapshots", 0)
        model: dict[bytes, bytes] = {}
        checkpoint = None
        for number, step in enumerate(steps):
            if step == "reopen":
                partition.close()
                partition = store.open("bank.snapshots", 0)
                if not store.persistent:
                    model, checkpoint = {}, None
            elif step == "clear":
                partition.clear()
                model, checkpoint = {}, None
            else:
                checkpoint = checkpoint_at(number)
                partition.apply(step, checkpoint)
                model.update(step)
                model = {key: value for key, value in model.items() if value is not None}
            items = list(partition.items())
            assert dict(items) == model
            assert len(items) == partition.count() == len(model)
            assert partition.checkpoint() == checkpoint
            for key in HOSTILE_KEYS:
                assert partition.get(key) == model.get(key)
        partition.close()
