"""The beginning of the expanding branch: nothing to add yet."""

revision = "expand_0001"
down_revision = "initial"
branch_labels = ("expand",)


def upgrade() -> None:
    """Nothing."""
