"""One run: its request, what it stands on, the stages wired, its end; what commands share."""
