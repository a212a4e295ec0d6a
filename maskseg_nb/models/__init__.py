"""Which networks there are, and their weights: found, checked, loaded.

Read `loading` first, then `zoo` and `street`. Weights on their way: `download`, `checkpoints`, `state_dicts`,
`own_model`, `details`. The parts of a network: `backbones`, `bfloat16`.
"""
