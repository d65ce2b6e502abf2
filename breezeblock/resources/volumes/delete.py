"""Delete a volume, alone or with its snapshots.

available, error* --request--> deleting --done--> (gone)
                               deleting --fail--> error_deleting
any status --force--> (its jobs cancelled) error --> deleting
"""

import dataclasses

from breezeblock.core import fields
from breezeblock.core.bodies import Query
from breezeblock.core.jobs import JobRow
from breezeblock.core.requests import Answer, Request
from breezeblock.core.resource import Verb
from breezeblock.core.transitions import End, Transition
from breezeblock.core.versions import V
from breezeblock.core.work import Work
from breezeblock.resources.volumes import removal, rules, states
from breezeblock.resources.volumes.removal import Deletion
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Tx

QUERY = Query({"cascade": fields.BOOLEAN, "force": fields.BOOLEAN.but(since=V.DELETE_FORCE)})

DELETE = Transition(
    "volumes.delete",
    volumes,
    via=states.DELETING,
    done=End.DELETED,
    failed=states.ERROR_DELETING,
    allowed=dict.fromkeys(states.DELETABLE, V.BASE),
    guards=(*removal.ALWAYS, *rules.UNUSED),
)
FORCED = dataclasses.replace(DELETE, guards=removal.ALWAYS)


def request(req: Request, volume_id: str) -> Answer:
    """Move the volume, and with ``cascade`` its snapshots, to ``deleting`` in one transaction."""
    cascade = bool(req.params.get("cascade"))
    if req.params.get("force"):
        removal.remove_by_force(req, VERB, FORCED, volume_id, "volume:force_delete", cascade=cascade)
    else:
        removal.remove(req, VERB, DELETE, rules.find(req, volume_id, "volume:delete"), cascade=cascade)
    return Answer(202)


def schedule(work: Work, deletion: Deletion) -> None:
    """A volume that never got a pool has nothing on any backend."""
    removal.finish(work, work.own())


def run(work: Work, deletion: Deletion) -> None:
    """Remove the bytes; the finish removes the rows."""
    removal.erase(work, deletion)


def undo(tx: Tx, job: JobRow, deletion: Deletion) -> None:
    """The snapshots that went along can be deleted again."""
    removal.spare_snapshots(tx, job, deletion)


VERB = Verb(DELETE, Deletion, run, schedule=schedule, undo=undo)
