"""What is handed to the program: keys, times, seed files, results of earlier lookups."""
