"""`python -m maskseg_nb.training street|small --data FOLDER --out FOLDER`: train a shipped model."""

import sys

from . import small_recipe, street_recipe

RECIPES = {"street": street_recipe.main, "small": small_recipe.main}

if __name__ == "__main__":
    recipe = RECIPES.get(sys.argv[1] if sys.argv[1:] else "")
    if recipe is None:
        sys.exit(f"usage: python -m maskseg_nb.training {'|'.join(RECIPES)} --data FOLDER --out FOLDER")
    sys.exit(recipe())
