"""Delete a snapshot.

available, error* --request--> deleting --done--> (gone)
                               deleting --fail--> error_deleting
"""

from breezeblock.core.requests import Answer, Request
from breezeblock.core.resource import Verb
from breezeblock.core.transitions import End, Transition
from breezeblock.core.versions import V
from breezeblock.core.work import Work
from breezeblock.resources.snapshots import removal, rules, states
from breezeblock.resources.snapshots.removal import Deletion
from breezeblock.resources.snapshots.table import snapshots

DELETE = Transition(
    "snapshots.delete",
    snapshots,
    via=states.DELETING,
    done=End.DELETED,
    failed=states.ERROR_DELETING,
    allowed=dict.fromkeys(states.DELETABLE, V.BASE),
    guards=(rules.NO_GROUP, *rules.UNUSED),
)


def request(req: Request, snapshot_id: str) -> Answer:
    """Refused while a volume is being made from it."""
    removal.remove(req, VERB, DELETE, rules.find(req, snapshot_id, "volume:delete_snapshot"))
    return Answer(202)


def run(work: Work, deletion: Deletion) -> None:
    """Remove the bytes that nobody else needs; the finish removes the row."""
    removal.erase(work, deletion)


VERB = Verb(DELETE, Deletion, run)
