"""Whether another policy may act: alarms, shadows, swaps and the way back."""
