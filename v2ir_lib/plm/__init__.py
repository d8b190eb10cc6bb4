"""Progressive Learning Module (paper §3.3): the three phases, what they learn from, and the one loop that trains them."""
