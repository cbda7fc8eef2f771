"""Workers, the one writer, and the supervisor that watches them."""
