"""A person at a terminal: its keys, its raw mode, what it shows."""
