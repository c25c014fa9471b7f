"""Environments in processes of their own: episodes to learn from, and evaluations."""
