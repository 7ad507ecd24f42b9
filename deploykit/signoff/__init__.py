"""Who decided what, proved by SSH keys: statements, signatures and the rules on who may sign. No user interface."""
