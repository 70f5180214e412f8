"""The kit shared by the training loops: called, never inherited."""
