"""Every evaluation of a run, kept so that a killed run resumes where it stopped."""

from rena_kws.store.base import Store, Trial
from rena_kws.store.journal import JournalStore
from rena_kws.store.memory import MemoryStore

__all__ = ["JournalStore", "MemoryStore", "Store", "Trial"]
