"""Stand-ins for the vendors, which answer from what happens in the sandbox."""
