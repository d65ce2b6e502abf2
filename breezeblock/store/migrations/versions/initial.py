"""The first schema, for a database that Alembic walks from its beginning."""

from alembic import op

from breezeblock.store.migrations import first

revision = "initial"
down_revision = None
branch_labels = None


def upgrade() -> None:
    """Create it."""
    first.create(op.get_bind())
