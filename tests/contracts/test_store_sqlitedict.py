"""The store sqlitedict keeps the contract of all stores."""

from pathlib import Path

from kstate.store.sqlitedict import SqliteDictStore
from kstate.testing.store_contract import PersistentStoreContract


class TestSqliteDictStore(PersistentStoreContract):
    def make_store(self, directory: Path) -> SqliteDictStore:
        return SqliteDictStore(directory)
