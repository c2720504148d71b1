"""The store memory keeps the contract of all stores."""

from pathlib import Path

from kstate.store.memory import MemoryStore
from kstate.testing.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    def make_store(self, directory: Path) -> MemoryStore:
        return MemoryStore(directory)
