"""A run's folder: what was asked, the log, the summary, and its checkpoints."""
