"""Figures of a dataset: signals, time, coverage, outcomes, and remarks on what stands out."""
