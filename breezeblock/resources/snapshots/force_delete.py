"""Delete a snapshot whatever its status, as an administrator.

any status --request--> (its jobs cancelled) error --> deleting --done--> (gone)
                                                       deleting --fail--> error_deleting
The deletion waits in the lane for the holder of a cancelled job, and for volumes that are being made from it.
"""

import dataclasses

from breezeblock.core.bodies import Body
from breezeblock.core.jobs import give_back
from breezeblock.core.overrides import override
from breezeblock.core.requests import Answer, Request
from breezeblock.core.resource import Verb
from breezeblock.core.transitions import Change, End, Transition
from breezeblock.core.versions import V
from breezeblock.core.work import Work
from breezeblock.resources.snapshots import removal, rules, states
from breezeblock.resources.snapshots.removal import Deletion
from breezeblock.resources.snapshots.table import snapshots

BODY = Body("os-force_delete", {}, nullable=True)

FORCE_DELETE = Transition(
    "snapshots.force_delete",
    snapshots,
    via=states.DELETING,
    done=End.DELETED,
    failed=states.ERROR_DELETING,
    allowed={states.ERROR: V.BASE},
    guards=(rules.NO_GROUP,),
)


def request(req: Request, snapshot_id: str) -> Answer:
    """Cancel what runs and begin the deletion, in one transaction."""
    snapshot = rules.overridable(req, snapshot_id, "volume_extension:snapshot_admin_actions:force_delete")
    cancelled = override(req, FORCE_DELETE.name, snapshot, Change(snapshots, snapshot_id, {"status": states.ERROR}))
    unasked = dataclasses.replace(FORCE_DELETE, allowed={})  # the status was set here: a refusal must not speak of it
    removal.remove(req, VERB, unasked, snapshot)
    give_back(req.tx, cancelled, req.registry)
    return Answer(202)


def run(work: Work, deletion: Deletion) -> None:
    """Remove the bytes that nobody else needs; the finish removes the row."""
    removal.erase(work, deletion)


VERB = Verb(FORCE_DELETE, Deletion, run)
