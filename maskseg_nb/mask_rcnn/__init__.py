"""The network, stage by stage: from a tensor to a `Prediction` to `Instances`.

Read `predict`, `prediction` and `instances` first; then `trace` with the table of the stages, `stages`,
`feature_pyramid`, `roi_align`, `outcomes` and `knobs`; then `journey`, `contests` and `follow`;
`nms_rounds`, `receptive_field` and `box_masks`. Leave `checks` for last.
"""
