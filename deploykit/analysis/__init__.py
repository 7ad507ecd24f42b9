"""Numbers in, verdict out: no clock, no network, no files."""
