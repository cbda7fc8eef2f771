"""What is to be done, and what is done."""
