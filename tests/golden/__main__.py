"""Rewrite the pinned digests and the contact sheet for eyes."""

import json

from fdsl_gen.dataset.sheet import contact_sheet
from tests.golden.samples import (
    DIGESTS,
    NAMES,
    PICTURE,
    golden_digests,
    golden_recipe,
    golden_samples,
)

if __name__ == "__main__":
    found = {}
    images, captions = [], []
    for name in NAMES:
        recipe = golden_recipe(name)
        samples = golden_samples(recipe)
        found[name] = golden_digests(recipe, samples)
        images += [sample.image for sample in samples]
        captions += [name, *(sample.key for sample in samples[1:])]
    DIGESTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    contact_sheet(images, captions, columns=6, tile=116).save(PICTURE, optimize=True)
