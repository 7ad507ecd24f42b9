"""The old codes go; the release reads them only behind a flag."""

import sqlalchemy as sa
from alembic import op

revision = "0003_codes"
down_revision = "0002"
feature_flag = "shop.legacy-codes"


def upgrade() -> None:
    """Drop them."""
    op.drop_column("products", "legacy_code")


def downgrade() -> None:
    """Have the column again, empty."""
    op.add_column("products", sa.Column("legacy_code", sa.Text()))
