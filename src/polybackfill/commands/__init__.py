"""One module a command: put the parts together, run, print, return the exit code."""
