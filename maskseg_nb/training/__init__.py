"""Fine-tuning: torchvision's own losses, minimised step by step on augmented images of a dataset.

Read `train`, `loop` and `settings` first; then `augmentation`, `sampling`, `fine_tuning`, `saving`,
`model_card` and `figures`. Of pictures that are labelled in part: `partial_labels`, `guesses`,
`partial_losses` and `validation`. Fewer categories, calibrated scores: `folding`.
`python -m maskseg_nb.training MODEL --data FOLDER --out FOLDER` trains a shipped model; see `street_recipe`
and `small_recipe`.
"""
