"""What this host can do: measurements, what to mend, and a verdict for each control rate."""
