"""How each verb of the catalogue is prepared and asked for, and where it must end: one literal table.

A verb without a scenario fails tests/crash/test_crash.py, so a new verb gets its line here, and with that a crash at
every point of its way. ``ends`` names rows by the labels of ``prepare``, and of the request's own new ids.
"""

import dataclasses
import uuid
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import sqlalchemy as sa

from breezeblock.drivers.fake import Action, Rule
from breezeblock.resources.attachments import complete
from breezeblock.resources.attachments import create as attach
from breezeblock.resources.attachments import delete as detach
from breezeblock.resources.attachments import update as connect
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.snapshots import create as snapshot_create
from breezeblock.resources.snapshots import delete as snapshot_delete
from breezeblock.resources.snapshots import force_delete as snapshot_force_delete
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes import create, delete, extend, force_delete, revert
from breezeblock.resources.volumes.table import volumes
from tests.support.world import World

Ids = dict[str, str]
GONE = None
HUGE = 1_000_000_000


def nothing(world: World, ids: Ids) -> None:
    """Nothing is there before."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One way of one verb."""

    verb: str
    name: str
    ask: Callable[[World, Ids], Any]
    """Performs the request; new ids are those of the given labels, so that a lost answer can be looked up."""
    ends: Mapping[str, tuple[sa.Table, str | None]]
    """By label: the table, and the row's final status; None for a row that is gone."""
    prepare: Callable[[World, Ids], None] = nothing
    trouble: Rule | None = None
    """What the backend does to every such call."""
    job: str = "done"

    @property
    def id(self) -> str:
        """For the test's name."""
        return f"{self.verb}-{self.name}" if self.name else self.verb


def ids_for(scenario: Scenario) -> Ids:
    """New ids for one run: of what is prepared, and of what is asked for."""
    return {label: str(uuid.uuid4()) for label in ("job", "old", "snapshot", "attachment", *scenario.ends)}


def _create(**body: Any) -> Callable[[World, Ids], Any]:
    """A request for the volume ``new``; ``{label}`` in a value stands for an id."""
    return lambda world, ids: world.ask(create, _filled(body, ids), ids={"volume": ids["new"], "job": ids["job"]})


def _ask(verb: ModuleType, body: Any = None, *, to: str = "old", params: Mapping[str, Any] | None = None) -> Callable[[World, Ids], Any]:
    """A request about the prepared row ``to``; ``{label}`` in the body stands for an id."""

    def ask(world: World, ids: Ids) -> Any:
        path: dict[str, Any] = {"volume_id": ids["old"]} if to == "old" else {f"{to}_id": ids[to]}
        return world.ask(verb, _filled(body, ids), params=params, ids={"job": ids["job"]}, wait=False, **path)

    return ask


def _filled(body: Any, ids: Ids) -> Any:
    if isinstance(body, dict):
        return {name: _filled(value, ids) for name, value in body.items()}
    return body.format(**ids) if isinstance(body, str) else body


def a_volume(world: World, ids: Ids) -> None:
    """An available volume ``old`` of 2 GiB."""
    world.ask(create, {"size": 2}, ids={"volume": ids["old"], "job": str(uuid.uuid4())})
    world.settle()


def a_homeless_volume(world: World, ids: Ids) -> None:
    """A volume ``old`` in error, which no pool could take."""
    world.ask(create, {"size": HUGE}, ids={"volume": ids["old"], "job": str(uuid.uuid4())})
    world.settle()


def a_snapshot(world: World, ids: Ids) -> None:
    """An available ``snapshot`` of the available volume ``old``."""
    a_volume(world, ids)
    world.ask(snapshot_create, {"volume_id": ids["old"]}, ids={"snapshot": ids["snapshot"], "job": str(uuid.uuid4())})
    world.settle()


def two_snapshots(world: World, ids: Ids) -> None:
    """Another one, ``second``."""
    a_snapshot(world, ids)
    world.ask(snapshot_create, {"volume_id": ids["old"]}, ids={"snapshot": ids["second"], "job": str(uuid.uuid4())})
    world.settle()


def a_wanted_volume(world: World, ids: Ids) -> None:
    """A volume ``old`` whose creation is queued."""
    world.ask(create, {"size": 2}, ids={"volume": ids["old"], "job": str(uuid.uuid4())})


def a_reservation(world: World, ids: Ids) -> None:
    """The volume ``old`` with a reserved ``attachment``."""
    a_volume(world, ids)
    world.ask(attach, {"volume_uuid": ids["old"]}, ids={"attachment": ids["attachment"]})


def a_connection(world: World, ids: Ids) -> None:
    """The volume ``old`` with a complete ``attachment``."""
    a_reservation(world, ids)
    world.ask(connect, {"connector": CONNECTOR}, attachment_id=ids["attachment"])
    world.ask(complete, attachment_id=ids["attachment"])


def always(method: str, code: str = "driver.failed") -> Rule:
    """The backend refuses every call of a method."""
    return Rule(method, Action.FAIL, code, times=1_000_000)


CONNECTOR = {"host": "guest", "initiator": "iqn.2026-01.example:guest"}
OLD = {"old": (volumes, "available")}
NEW = {"new": (volumes, "available")}
LOST = {"new": (volumes, "error")}
UNGROWN = {"old": (volumes, "error_extending")}
UNDELETED = {"old": (volumes, "error_deleting")}
VOLUME_GONE = {"old": (volumes, GONE)}
SNAPSHOT = OLD | {"snapshot": (snapshots, "available")}
SNAPSHOT_LOST = OLD | {"snapshot": (snapshots, "error")}
SNAPSHOT_GONE = OLD | {"snapshot": (snapshots, GONE)}
ALL_GONE = VOLUME_GONE | {"snapshot": (snapshots, GONE), "second": (snapshots, GONE)}
ALL_STUCK = UNDELETED | {"snapshot": (snapshots, "error_deleting"), "second": (snapshots, "error_deleting")}
CONNECTED = {"old": (volumes, "attaching"), "attachment": (attachments, "attaching")}
UNCONNECTED = {"old": (volumes, "reserved"), "attachment": (attachments, "error_attaching")}
DETACHED = OLD | {"attachment": (attachments, GONE)}
UNDETACHED = {"old": (volumes, "in-use"), "attachment": (attachments, "error_detaching")}


def _take_snapshot(world: World, ids: Ids) -> Any:
    return world.ask(snapshot_create, {"volume_id": ids["old"]}, ids={"snapshot": ids["snapshot"], "job": ids["job"]})


_cascade = _ask(delete, params={"cascade": True})
_forced_cascade = _ask(delete, params={"cascade": True, "force": True})
_extend = _ask(extend, {"new_size": 5})
_revert = _ask(revert, {"snapshot_id": "{snapshot}"})
_erase = _ask(snapshot_delete, to="snapshot")
_connect = _ask(connect, {"connector": CONNECTOR}, to="attachment")
_disconnect = _ask(detach, to="attachment")

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("volumes.create", "empty", _create(size=2), NEW),
    Scenario("volumes.create", "from a volume", _create(size=3, source_volid="{old}"), NEW | OLD, a_volume),
    Scenario("volumes.create", "from a snapshot", _create(size=3, snapshot_id="{snapshot}"), NEW | SNAPSHOT, a_snapshot),
    Scenario("volumes.create", "no pool", _create(size=HUGE), LOST, job="failed"),
    Scenario("volumes.create", "no space", _create(size=2), LOST, trouble=always("create", "driver.no_space"), job="failed"),
    Scenario("volumes.delete", "", _ask(delete), VOLUME_GONE, a_volume),
    Scenario("volumes.delete", "without a pool", _ask(delete), VOLUME_GONE, a_homeless_volume),
    Scenario("volumes.delete", "fails", _ask(delete), UNDELETED, a_volume, always("delete"), "failed"),
    Scenario("volumes.delete", "cascade", _cascade, ALL_GONE, two_snapshots),
    Scenario("volumes.delete", "cascade fails", _cascade, ALL_STUCK, two_snapshots, always("delete"), "failed"),
    Scenario("volumes.force_delete", "", _ask(force_delete, {}), VOLUME_GONE, a_volume),
    Scenario("volumes.force_delete", "while it is made", _ask(force_delete, {}), VOLUME_GONE, a_wanted_volume),
    Scenario("volumes.force_delete", "cascade", _forced_cascade, ALL_GONE, two_snapshots),
    Scenario("volumes.extend", "", _extend, OLD, a_volume),
    Scenario("volumes.extend", "fails", _extend, UNGROWN, a_volume, always("extend"), "failed"),
    Scenario("volumes.revert", "", _revert, SNAPSHOT, a_snapshot),
    Scenario("volumes.revert", "fails", _revert, SNAPSHOT | {"old": (volumes, "error")}, a_snapshot, always("revert"), "failed"),
    Scenario("snapshots.create", "", _take_snapshot, SNAPSHOT, a_volume),
    Scenario("snapshots.create", "fails", _take_snapshot, SNAPSHOT_LOST, a_volume, always("snapshot"), "failed"),
    Scenario("snapshots.delete", "", _erase, SNAPSHOT_GONE, a_snapshot),
    Scenario("snapshots.force_delete", "", _ask(snapshot_force_delete, {}, to="snapshot"), SNAPSHOT_GONE, a_snapshot),
    Scenario("attachments.connect", "", _connect, CONNECTED, a_reservation),
    Scenario("attachments.connect", "fails", _connect, UNCONNECTED, a_reservation, always("ensure"), "failed"),
    Scenario("attachments.disconnect", "", _disconnect, DETACHED, a_connection),
    Scenario("attachments.disconnect", "fails", _disconnect, UNDETACHED, a_connection, always("withdraw"), "failed"),
)
