"""The explorer: choose a photograph, move the thresholds, see the masks."""
