"""What changes something: each action is a list of steps, and a step is data."""
