"""The run's whole configuration and the order of its stages."""
