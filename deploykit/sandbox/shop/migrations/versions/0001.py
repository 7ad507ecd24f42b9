"""Products and orders."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """What the shop began with."""
    op.execute(
        "CREATE TABLE products (id integer PRIMARY KEY, name text NOT NULL, price_cents integer NOT NULL,"
        " legacy_code text)"
    )
    op.execute(
        "CREATE TABLE orders (id bigserial PRIMARY KEY, product_id integer NOT NULL REFERENCES products (id),"
        " quantity integer NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),"
        " channel text NOT NULL DEFAULT 'web',"
        " CONSTRAINT orders_channel_known CHECK (channel IN ('web', 'phone')))"
    )
    op.execute("INSERT INTO products SELECT n, 'Product ' || n, 100 * n FROM generate_series(1, 50) AS n")
    op.execute("INSERT INTO orders (product_id, quantity) SELECT 1 + n % 50, 1 FROM generate_series(1, 500) AS n")


def downgrade() -> None:
    """To nothing."""
    op.execute("DROP TABLE orders")
    op.execute("DROP TABLE products")
