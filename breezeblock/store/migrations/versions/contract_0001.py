"""The beginning of the contracting branch: nothing to take away yet."""

revision = "contract_0001"
down_revision = "initial"
branch_labels = ("contract",)


def upgrade() -> None:
    """Nothing."""
