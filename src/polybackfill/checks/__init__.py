"""What `validate` checks, and what is proven complete. Nothing here steers a run."""
