"""The append-only, hash-chained record of a run. It is the truth; notebook, report and status are views of it."""
