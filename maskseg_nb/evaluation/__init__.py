"""Against the ground truth: matching, precision and recall, COCO's metrics.

Read `matching`, `precision_recall` and `evaluate` first; then `calibration`, `stored`, `detections`,
`coco_metrics`, `match_pictures` and `figures`.
"""
