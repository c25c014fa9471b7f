"""Is every byte as it was written, would it mislead a learner? Findings, and a repair of the damaged."""
