"""One launch: from settings to a plan, to a run that is begun or joined, to its end and its files."""
