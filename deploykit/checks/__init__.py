"""What reads an outside system and returns a result. Nothing here changes anything."""
