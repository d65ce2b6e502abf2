"""Delete a volume whatever its status, as an administrator.

any status --request--> (its jobs cancelled) error --> deleting --done--> (gone)
                                                       deleting --fail--> error_deleting
The deletion waits in the lane until the holder of a cancelled job has stopped.
"""

from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.resource import Verb
from breezeblock.core.transitions import End, Transition
from breezeblock.core.versions import V
from breezeblock.core.work import Work
from breezeblock.resources.volumes import removal, states
from breezeblock.resources.volumes.removal import Deletion
from breezeblock.resources.volumes.table import volumes

BODY = Body("os-force_delete", {}, nullable=True)

FORCE_DELETE = Transition(
    "volumes.force_delete",
    volumes,
    via=states.DELETING,
    done=End.DELETED,
    failed=states.ERROR_DELETING,
    allowed={states.ERROR: V.BASE},
    guards=removal.ALWAYS,
)


def request(req: Request, volume_id: str) -> Answer:
    """Cancel what runs and begin the deletion, in one transaction."""
    removal.remove_by_force(req, VERB, FORCE_DELETE, volume_id, "volume_extension:volume_admin_actions:force_delete")
    return Answer(202)


def schedule(work: Work, deletion: Deletion) -> None:
    """A volume that never got a pool has nothing on any backend."""
    removal.finish(work, work.own())


def run(work: Work, deletion: Deletion) -> None:
    """Remove the bytes; the finish removes the rows."""
    removal.erase(work, deletion)


VERB = Verb(FORCE_DELETE, Deletion, run, schedule=schedule)
