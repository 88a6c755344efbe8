# %% [markdown]
# # Sweep a setting and compare parameters
#
# 1p-frac takes perturbations of one fractal as its categories; `delta` says how far they are from
# each other. Here: how the images and the parameters behind them spread. A few seconds; the same
# grid by one command: `fdsl-gen preview fractal-1 --sweep delta=.05,.1,.2,.4`.

# %%
import numpy as np
from PIL import Image

from fdsl_gen import generate, load_recipe, open_dataset

DELTAS = (0.05, 0.1, 0.2, 0.4)
small = {"num_categories": 16, "image_size": 96, "num_points": 8000, "draw": "fill"}

# %% [markdown]
# `metadata` stores the numbers behind every image; `parameters` gives them by column, ready for
# `pandas.DataFrame`.

# %%
rows = []
for delta in DELTAS:
    recipe = load_recipe("fractal-1", delta=delta, metadata=True, **small)
    folder = f"sweep-{delta}"
    generate(recipe, folder, workers=1)
    dataset = open_dataset(folder)
    columns = dataset.parameters()
    images = np.stack([sample.image for sample in dataset.values()]).astype(float)
    apart = np.abs(images[1:] - images[:-1]).mean()
    spread = np.std(columns["map0_a"]) / abs(np.mean(columns["map0_a"]))
    filled = np.mean(columns["filling_rate"])
    print(
        f"delta {delta}: a of the first map spreads by {spread:.1%}, {filled:.0%} of the pixels"
        f" filled, neighbors {apart:.1f} gray levels apart"
    )
    rows.append([sample.image for sample, _ in zip(dataset.values(), range(8), strict=False)])

# %% [markdown]
# A row for each `delta`, from the smallest to the largest.

# %%
grid = Image.fromarray(np.block(rows))
grid.save("sweep.png")
grid
