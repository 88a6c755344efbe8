# %% [markdown]
# # Render and look
#
# Images of a dataset before anything is written, then the dataset as files. A few seconds.

# %%
import numpy as np
from PIL import Image

from fdsl_gen import generate, load_recipe, open_dataset, render

recipe = load_recipe("rcdb-1k", num_categories=12, num_instances=4, image_size=128)
recipe  # prints as YAML

# %% [markdown]
# One image; in a notebook it shows itself.

# %%
drawn = render(recipe, category=7)
print(drawn.image.shape, dict(drawn.parameters))
drawn

# %% [markdown]
# A category in each row, its instances beside each other. The same images as a page with captions:
# `fdsl-gen preview rcdb-1k --num-categories 12 --image-size 128`.

# %%
rows = [[render(recipe, category, i).image for i in range(4)] for category in range(0, 12, 3)]
grid = Image.fromarray(np.block(rows))
grid.save("look.png")
grid

# %% [markdown]
# Files: tars that any WebDataset reader opens, and a mapping from keys to samples.

# %%
manifest = generate(recipe, "looked-at", workers=1)
dataset = open_dataset("looked-at")
sample = dataset["00007_00000"]
print(dataset, manifest.content_digest)
assert np.array_equal(sample.image, drawn.image)
assert sample.label == 7
