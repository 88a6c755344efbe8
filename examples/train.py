# %% [markdown]
# # Pre-train, fine-tune, look at the attention
#
# A tiny model learns from formulas that are drawn while it trains, then real digits, 8x8 pixels
# (`pip install scikit-learn` has them). Half a minute on two cores: enough to see each
# step, too little to compare with scratch; `fdsl-train trial` and docs/hypotheses.md do that.

# %%
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

from fdsl_train import evaluate, finetune, knn, pretrain
from fdsl_train.cli.main import main

digits = load_digits()
for k, (image, label) in enumerate(zip(digits.images[:700], digits.target[:700], strict=True)):
    path = Path("digits", "train" if k < 600 else "val", str(label), f"{k}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((image * 15).astype("uint8")).resize((32, 32)).save(path)

# %% [markdown]
# Any recipe is data: `recipe:NAME?setting=value`. Settings of the training have timm's names.

# %%
formulas = "recipe:fractal-1?num_categories=32&image_size=48&num_points=3000&draw=fill&delta=0.4"
tiny = {"workers": 0, "log_every": 20, "warmup_steps": 5, "global_batch_size": 32}
small = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 2}
run = pretrain(formulas, "runs/formulas", recipe="cpu-pretrain", steps=100, **small, **tiny)
print(run.metrics["loss"])

# %% [markdown]
# How good are the features before any training on digits? And after it:

# %%
print("nearest neighbors", knn(run.export, "digits", k=5, workers=0)["val_top1"])
how = {"recipe": "cpu-finetune", "steps": 200, "lr": 2e-3, "scale": (0.8, 1.0), "eval_epochs": 100}
tuned = finetune("digits", "runs/digits", checkpoint=run.export, **how, **tiny)
top1, top5 = evaluate(tuned.export, "digits", workers=0).percent()
print(f"top-1 {top1:.1f} %, chance 10 %")

# %% [markdown]
# Where the class token looks, head by head: `attention/NAME.png`.

# %%
picture = next(Path("digits/val/7").iterdir())
main(["attention", str(tuned.export), str(picture), "--out", "attention"], standalone_mode=False)
Image.open(f"attention/{picture.stem}.png").convert("RGB")
