"""A run as others see it while it goes on: an endpoint over HTTP, metrics, alerts."""
