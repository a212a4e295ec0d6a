"""`python -m maskseg_nb.training street --data FOLDER --out FOLDER`: train the shipped model from scratch."""

import sys

from .street_recipe import main

if __name__ == "__main__":
    sys.exit(main())
