"""Orders from the app: what comes in is called so from now on."""

from alembic import op

revision = "0003_app"
down_revision = "0002"


def upgrade() -> None:
    """Let any channel in, and call the new orders `app`."""
    op.execute("ALTER TABLE orders DROP CONSTRAINT orders_channel_known")
    op.execute("ALTER TABLE orders ALTER COLUMN channel SET DEFAULT 'app'")


def downgrade() -> None:
    """As before; what the app ordered counts as the web's."""
    op.execute("ALTER TABLE orders ALTER COLUMN channel SET DEFAULT 'web'")
    op.execute("UPDATE orders SET channel = 'web' WHERE channel = 'app'")
    op.execute("ALTER TABLE orders ADD CONSTRAINT orders_channel_known CHECK (channel IN ('web', 'phone'))")
