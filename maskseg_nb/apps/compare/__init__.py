"""Two runs beside each other: two models, two input sizes, or a photograph and its changed twin."""
