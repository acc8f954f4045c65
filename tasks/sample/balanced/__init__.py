"""What the default strategy measures: the probe, its partitions, and the candidate rules."""
