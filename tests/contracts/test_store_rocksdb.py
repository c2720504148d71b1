"""The store rocksdb keeps the contract of all stores."""

from pathlib import Path

from kstate.store.rocksdb import RocksDBStore
from kstate.testing.store_contract import PersistentStoreContract


class TestRocksDBStore(PersistentStoreContract):
    def make_store(self, directory: Path) -> RocksDBStore:
        return RocksDBStore(directory)
