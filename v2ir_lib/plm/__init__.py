"""Progressive Learning Module (paper §3.3): three phases, what they learn from, one loop."""
