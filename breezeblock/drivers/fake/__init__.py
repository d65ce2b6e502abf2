"""The fake backend: no bytes on any disk, programmable trouble, and a memory of every call."""

from breezeblock.drivers.fake.driver import FakeDriver
from breezeblock.drivers.fake.memory import MemoryStore
from breezeblock.drivers.fake.sqlite import SqliteStore
from breezeblock.drivers.fake.store import Action, FakeObject, FakeStore, LateEffect, Outcome, Phase, Record, Rule, late_effects

__all__ = [
    "Action",
    "FakeDriver",
    "FakeObject",
    "FakeStore",
    "LateEffect",
    "MemoryStore",
    "Outcome",
    "Phase",
    "Record",
    "Rule",
    "SqliteStore",
    "late_effects",
]
