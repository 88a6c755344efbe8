"""Rewrite the pinned digests and the contact sheet for eyes."""

import json

from fdsl_gen.dataset.sheet import contact_sheet
from fdsl_gen.recipe.jobs import jobs_of
from tests.golden.samples import DIGESTS, NAMES, PICTURE, golden_digests, golden_recipe, pinned

if __name__ == "__main__":
    found = {name: golden_digests(golden_recipe(name)) for name in NAMES}
    DIGESTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    images, captions = [], []
    for name in NAMES:
        recipe = golden_recipe(name)
        samples = pinned(recipe)
        for sample, drawn in zip(
            samples, recipe.variant.render(jobs_of(recipe, samples)), strict=True
        ):
            images.append(drawn.image)
            captions.append(sample.key if sample != samples[0] else name)
    contact_sheet(images, captions, columns=6, tile=116).save(PICTURE, optimize=True)
