"""All invariants at once, for whoever drives a deployment: crash tests, the simulation, fault tests.

A :class:`Watch` is made once for each deployment and asked between steps; ``healed`` says that rescue and all
workers have had their time, so that nothing may be on its way any more.
"""

from breezeblock.core.resource import Registry
from breezeblock.drivers.fake import FakeDriver
from breezeblock.drivers.interface import VolumeDriver
from breezeblock.store.engine import Store
from tests.checkers import answers, attachments, backend, lanes, owners, quotas


class Watch:
    """The invariants of one deployment with one backend; ``driver`` None: there is no backend to look at."""

    def __init__(self, store: Store, registry: Registry, driver: VolumeDriver | None = None) -> None:
        self._store = store
        self._registry = registry
        self._driver = driver
        self._owners = owners.Owners()

    def problems(self, *, healed: bool = False) -> list[str]:
        """Every invariant that does not hold now, one sentence each."""
        store, driver = self._store, self._driver
        found = [*self._owners.problems(store), *lanes.problems(store, self._registry), *attachments.problems(store)]
        found += [f"counter {name}: {is_} instead of {should}" for name, (is_, should) in quotas.differences(store).items()]
        found += answers.problems(store, healed=healed)
        if healed:
            found += owners.unrescued(store)
        if driver is not None and healed:
            found += backend.problems(store, driver)
        if isinstance(driver, FakeDriver):
            found += backend.late(driver.store)
            found += backend.sizes(store, driver.store) if healed else []
        return found

    def assert_sound(self, *, healed: bool = False, after: str = "") -> None:
        """Raise AssertionError that lists what is broken."""
        found = self.problems(healed=healed)
        assert not found, f"{after}:\n  " + "\n  ".join(found)
