"""The tests themselves. Each builds a small world, makes a call as one or several holders of a job, and looks at bytes and names."""

import itertools
import threading
import uuid
from collections.abc import Callable, Sequence

import pytest

from breezeblock import errors
from breezeblock.drivers.conformance.scenarios import SCENARIOS
from breezeblock.drivers.conformance.world import PAGE, Resource, Subject, World
from breezeblock.drivers.interface import (
    MUTATIONS,
    Effect,
    SnapshotSpec,
    VolumeSpec,
    effect_of,
    parse_object_name,
    unsafe_methods,
)

every_method = pytest.mark.parametrize("method", SCENARIOS)


class DriverConformance:
    """Subclass it in a test module and define the fixture ``subject``."""

    @pytest.fixture
    def subject(self) -> Subject:
        """What is tested; the subclass's to define."""
        raise NotImplementedError

    @pytest.fixture
    def world(self, subject: Subject) -> World:
        """A database for the subject's backend, which is empty."""
        return World(subject)

    def test_every_mutation_has_a_scenario(self) -> None:
        """A method added to the interface cannot be forgotten here."""
        assert set(SCENARIOS) | {"remove"} == set(MUTATIONS)

    def test_unsafe_methods_are_known(self, world: World) -> None:
        """What a clustered backend would refuse to start with is no surprise."""
        assert list(unsafe_methods(world.driver)) == list(world.subject.unsafe)

    def test_setup_can_be_repeated(self, world: World) -> None:
        """A second worker's start harms nothing."""
        world.volume()
        world.subject.build().setup()
        world.check()

    @every_method
    def test_data(self, world: World, method: str) -> None:
        """One call, one finish: every byte is where it should be, and nothing else is on the backend."""
        prepared = SCENARIOS[method](world)
        prepared.publish(prepared.perform(world.driver, prepared.job.call()))
        world.end(prepared.job)
        world.check()
        world.collect()
        world.check()

    @every_method
    @pytest.mark.parametrize("epochs", [(1, 1), (1, 2), (1, 2, 2, 3)], ids=str)
    def test_repeated_by_its_job(self, world: World, method: str, epochs: tuple[int, ...]) -> None:
        """A job that was retried or taken over after its effect, before its finish, ends as if there had been one call."""
        prepared = SCENARIOS[method](world)
        results = [prepared.perform(world.subject.build(), prepared.job.call(epoch)) for epoch in epochs]
        prepared.publish(results[-1])
        world.check()
        world.end(prepared.job)
        world.collect()
        world.check()

    @every_method
    def test_never_finished(self, world: World, method: str) -> None:
        """A job that died for good after its effect leaves the other resources whole, and what it made is collected."""
        prepared = SCENARIOS[method](world)
        prepared.perform(world.driver, prepared.job.call())
        world.end(prepared.job)
        for row in [row for row in world.volumes.values() if method == "delete" and row.id in prepared.job.generations]:
            world.forget(row)
        for row in [row for row in world.snapshots.values() if method == "delete_snapshot" and row.id in prepared.job.generations]:
            world.forget(row)
        extended = [row for row in world.volumes.values() if method == "extend"]
        for row in extended:
            # It may have grown without anybody's knowing: a repeated request finds that.
            row.size_gib = world.subject.data.size_bytes(world.driver, row.published) >> 30
        world.collect()
        world.check()

    @every_method
    def test_late_call_of_an_older_epoch(self, world: World, method: str) -> None:
        """A zombie's call, made after its successor's finish, changes no byte and no name that was published (protocol rule R1)."""
        prepared = SCENARIOS[method](world)
        prepared.publish(prepared.perform(world.driver, prepared.job.call(2)))
        world.check()
        names = set(world.driver.referenced(world.handles()))
        if effect_of(world.driver, method) is Effect.FENCED:
            with pytest.raises(errors.Fenced):
                prepared.perform(world.subject.build(), prepared.job.call(1))
        else:
            _whatever(lambda: prepared.perform(world.subject.build(), prepared.job.call(1)))
        assert set(world.driver.referenced(world.handles())) == names
        assert world.missing() == []
        world.check()
        world.end(prepared.job)
        world.collect()
        world.check()

    @every_method
    def test_late_call_of_an_older_job(self, world: World, method: str) -> None:
        """The same for a job that was cancelled, after a younger one of the same resource finished (protocol rule R2)."""
        prepared = SCENARIOS[method](world)
        younger = world.start(*prepared.job.generations)
        prepared.publish(prepared.perform(world.driver, younger.call()))
        world.end(younger)
        world.end(prepared.job)
        if effect_of(world.driver, method) is Effect.FENCED:
            with pytest.raises(errors.Fenced):
                prepared.perform(world.subject.build(), prepared.job.call(7))
        else:
            _whatever(lambda: prepared.perform(world.subject.build(), prepared.job.call(7)))
        world.check()
        world.collect()
        world.check()

    @every_method
    def test_private_names_hold_resource_job_and_epoch(self, world: World, method: str) -> None:
        """What a PRIVATE call makes can be told from its name alone."""
        if effect_of(world.driver, method) is not Effect.PRIVATE:
            return
        prepared = SCENARIOS[method](world)
        before = {found.name for found in world.driver.objects()}
        prepared.perform(world.driver, prepared.job.call(3))
        made = [found for found in world.driver.objects() if found.name not in before]
        assert made
        for found in made:
            assert (found.job_id, found.epoch) == (prepared.job.id, 3)
            assert parse_object_name(found.name) == (found.resource_id, found.job_id, found.epoch)

    @every_method
    def test_deletes_come_in_any_order(self, world: World, method: str) -> None:
        """Methods that commute may come twice, and after everything else was deleted."""
        if effect_of(world.driver, method) is not Effect.COMMUTES:
            return
        prepared = SCENARIOS[method](world)
        for row in [*world.snapshots.values(), *world.volumes.values()]:
            self._delete(world, row)
            self._delete(world, row)
        for epoch in (2, 1, 2):
            prepared.perform(world.driver, prepared.job.call(epoch))
        for row in [*world.snapshots.values(), *world.volumes.values()]:
            world.forget(row)
        world.end(prepared.job)
        world.collect()
        assert list(world.driver.objects()) == []

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
    def test_what_stays_is_whole_whatever_was_deleted_first(self, world: World, order: tuple[int, ...]) -> None:
        """Volume, snapshot and restored volume share bytes; each order of deletes leaves the rest readable."""
        volume = world.volume()
        taken = world.snapshot(volume)
        world.write(volume, {0: 0x44})
        rows = [volume, taken, world.restored(taken)]
        for index in order:
            self._delete(world, rows[index])
            world.forget(rows[index])
            world.collect()
            world.check()
        assert [found.name for found in world.driver.objects()] == []

    def test_delete_without_a_handle(self, world: World) -> None:
        """A volume whose creation never finished is deleted by its id."""
        prepared = SCENARIOS["create"](world)
        prepared.perform(world.driver, prepared.job.call())
        world.end(prepared.job)
        (volume_id,) = prepared.job.generations
        job = world.start(volume_id)
        world.driver.delete(job.call(), volume_id, None)
        world.driver.delete_snapshot(world.start(volume_id).call(), str(uuid.uuid4()), None)
        world.forget(world.volumes[volume_id])
        assert world.unneeded() == []

    def test_what_is_gone_is_missing(self, world: World) -> None:
        """Every method that needs an object says so when it is gone, and makes nothing."""
        volume = world.volume()
        taken = world.snapshot(volume)
        for row in (volume, taken):
            self._delete(world, row)
            world.forget(row)
        world.collect()
        driver, new = world.driver, world.unborn()
        job = world.start(volume.id, taken.id, new.id)
        spec = VolumeSpec(new.id, 1)
        for attempt in (
            lambda: driver.extend(job.call(), volume.id, volume.published, 2),
            lambda: driver.snapshot(job.call(), volume.published, SnapshotSpec(taken.id, volume.id, 1)),
            lambda: driver.clone(job.call(), volume.id, volume.published, spec),
            lambda: driver.create_from_snapshot(job.call(), taken.published, spec),
            lambda: driver.revert(job.call(), volume.id, volume.published, taken.published, 1),
        ):
            with pytest.raises(errors.ObjectMissing):
                attempt()
        world.end(job)
        world.collect()
        assert list(driver.objects()) == []

    def test_many_extends_at_once(self, world: World) -> None:
        """Of concurrent calls with different tokens the highest always succeeds; the others succeed or are refused."""
        if effect_of(world.driver, "extend") is not Effect.FENCED:
            return
        volume = world.volume()
        job = world.start(volume.id)
        ends: dict[int, object] = {}

        def extend(epoch: int) -> None:
            try:
                ends[epoch] = world.driver.extend(job.call(epoch), volume.id, volume.published, 2)
            except errors.Fenced as refusal:
                ends[epoch] = refusal

        threads = [threading.Thread(target=extend, args=(epoch,)) for epoch in (3, 1, 5, 2, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(ends) == [1, 2, 3, 4, 5]
        assert not isinstance(ends[5], errors.Fenced)
        with pytest.raises(errors.Fenced):
            world.driver.extend(job.call(4), volume.id, volume.published, 3)
        volume.handle, volume.size_gib = world.driver.extend(job.call(5), volume.id, volume.published, 2), 2
        world.check()

    def test_extending_never_shrinks(self, world: World) -> None:
        """A smaller size than the present one changes nothing."""
        volume = world.volume(2)
        job = world.start(volume.id)
        volume.handle = world.driver.extend(job.call(), volume.id, volume.published, 1)
        world.end(job)
        world.check()

    def test_a_long_life(self, world: World) -> None:
        """Snapshots, extends and reverts of one volume, one after another; each snapshot keeps its own bytes."""
        volume = world.volume()
        for round_ in range(4):
            world.write(volume, {(round_ + 8) * PAGE: 0x60 + round_})
            world.snapshot(volume)
        first = next(iter(world.snapshots.values()))
        job = world.start(volume.id)
        volume.handle = world.driver.revert(job.call(), volume.id, volume.published, first.published, first.size_gib)
        volume.bytes = dict(first.bytes)
        world.end(job)
        job = world.start(volume.id)
        volume.handle, volume.size_gib = world.driver.extend(job.call(), volume.id, volume.published, 3), 3
        world.end(job)
        world.snapshot(volume)
        world.check()
        world.collect()
        world.check()

    def test_the_collector_leaves_live_jobs_alone(self, world: World) -> None:
        """What a running job made is kept until the job is over, published or not."""
        prepared = SCENARIOS["create"](world)
        result = prepared.perform(world.driver, prepared.job.call(1))
        world.collect()
        prepared.publish(result)
        world.check()

    def test_removing_twice(self, world: World) -> None:
        """Two collectors at once are no error."""
        prepared = SCENARIOS["create"](world)
        prepared.perform(world.driver, prepared.job.call(1))
        world.end(prepared.job)
        doomed = world.unneeded()
        assert doomed
        world.driver.remove(doomed)
        world.driver.remove(doomed)
        assert world.unneeded() == []

    def test_capacity_makes_sense(self, world: World) -> None:
        """Figures are GiB, and none contradicts another."""
        world.volume()
        pools = world.driver.pools()
        assert pools
        assert len({pool.name for pool in pools}) == len(pools)
        for pool in pools:
            assert 0 <= pool.free_gib <= pool.total_gib
            assert 0 <= pool.allocated_gib <= pool.total_gib

    def _delete(self, world: World, row: Resource) -> None:
        job = world.start(row.id)
        if row.volume_id is None:
            world.driver.delete(job.call(), row.id, row.handle)
        else:
            world.driver.delete_snapshot(job.call(), row.id, row.handle)
        world.end(job)


class NoSpaceConformance:
    """For a backend that has no space left. Subclass it and define ``subject`` with some space, and ``exhaust``, which takes it away."""

    @every_method
    def test_nothing_half_made_is_left(self, subject: Subject, exhaust: Callable[[], None], method: str) -> None:
        """A call without space works, or says NoSpace and leaves neither an object nor a changed volume."""
        world = World(subject)
        prepared = SCENARIOS[method](world)
        before = _names(world)
        exhaust()
        try:
            result = prepared.perform(world.driver, prepared.job.call())
        except errors.NoSpace:
            assert _names(world) == before
        else:
            prepared.publish(result)
        assert world.wrong() == []


def _names(world: World) -> Sequence[str]:
    return sorted(name for found in world.driver.objects() if parse_object_name(name := found.name))


def _whatever(attempt: Callable[[], object]) -> None:
    """A late call may fail in any of the ways that a driver may fail."""
    try:
        attempt()
    except (errors.DriverError, errors.Fenced):
        return
