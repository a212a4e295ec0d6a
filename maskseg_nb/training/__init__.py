"""Fine-tuning: torchvision's own losses, minimised step by step on augmented images of a dataset.

Read `train`, `loop` and `settings` first; then `augmentation`, `sampling`, `fine_tuning`, `saving`,
`model_card` and `figures`. `python -m maskseg_nb.training street --data FOLDER --out FOLDER` trains the
shipped model; see `street_recipe`.
"""
