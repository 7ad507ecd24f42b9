"""The channels are known again. Whoever wrote this forgot the app, and what is ordered while the backfill runs."""

from alembic import op

revision = "0004_app"
down_revision = "0003_app"


def upgrade() -> None:
    """Fill up what is missing, which takes its time, then close the list."""
    op.execute("UPDATE orders SET note = channel, channel = 'web' WHERE channel = 'app'")
    op.execute("SELECT pg_sleep(1)")
    op.execute("ALTER TABLE orders ADD CONSTRAINT orders_channel_closed CHECK (channel IN ('web', 'phone'))")
    op.execute("ALTER TABLE orders ALTER COLUMN channel SET DEFAULT 'web'")


def downgrade() -> None:
    """Open the list."""
    op.execute("ALTER TABLE orders ALTER COLUMN channel SET DEFAULT 'app'")
    op.execute("ALTER TABLE orders DROP CONSTRAINT orders_channel_closed")
