"""`python -m maskseg_nb.training street|small --data FOLDER --out FOLDER`: train a shipped model."""

import sys

from . import small_recipe, street_recipe

if __name__ == "__main__":
    recipe = small_recipe if sys.argv[1:2] == ["small"] else street_recipe
    sys.exit(recipe.main())
