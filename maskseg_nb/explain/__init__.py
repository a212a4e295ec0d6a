"""Why: where an object was lost, what a score is made of, what would have saved a box, where two runs part.

Read `survival` and `post_mortem` first; then `receipt` and `pixels`; then `rescue`, `succession` and `plane`;
then `compare` and `twins`. Last come `comparison_pictures` and the `figures`.
"""
