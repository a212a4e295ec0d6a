"""Score and IoU thresholds against the ground truth."""
