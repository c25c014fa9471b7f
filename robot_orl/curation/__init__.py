"""Whole datasets as material: check, mend, select, label, copy, re-simulate and picture them."""
