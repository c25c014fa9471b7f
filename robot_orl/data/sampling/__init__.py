"""Batches from episodes in RAM: replay, offline and online mixed, and normalisation."""
