"""The network, stage by stage: from a tensor to a `Prediction` to `Instances`.

Read `predict`, `prediction` and `instances` first; then `stages`, `feature_pyramid`, `roi_align`, `knobs`,
`trace`, `journey` and `follow`.
"""
