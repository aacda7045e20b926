"""A night of screening: inbox -> quality gate -> champion -> overlays, predictions, outcomes, report."""
