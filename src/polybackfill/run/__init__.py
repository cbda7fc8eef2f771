"""A run: from what was asked for to its end, and what commands share of that."""
