"""Notes on orders, and refunds: only new things, so that the release before goes on as it did."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add a column that may be empty, and a table that nobody reads yet."""
    op.add_column("orders", sa.Column("note", sa.Text()))
    op.create_table(
        "refunds",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("order_id", sa.BigInteger(), nullable=False, index=True),
        sa.Column("cents", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Take both away."""
    op.drop_table("refunds")
    op.drop_column("orders", "note")
