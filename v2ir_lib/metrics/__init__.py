"""Pure functions on arrays: how near two pictures are, and how sure one can be of a mean."""
