"""YAML for the command line: which schema a name selects, and what it overrides."""
