"""What a run would take before it runs: rows, bytes, memory, seconds."""
