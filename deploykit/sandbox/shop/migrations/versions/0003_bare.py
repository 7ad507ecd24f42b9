"""The old codes go, and nothing says behind which flag."""

import sqlalchemy as sa
from alembic import op

revision = "0003_bare"
down_revision = "0002"


def upgrade() -> None:
    """Drop them."""
    op.drop_column("products", "legacy_code")


def downgrade() -> None:
    """Have the column again, empty."""
    op.add_column("products", sa.Column("legacy_code", sa.Text()))
