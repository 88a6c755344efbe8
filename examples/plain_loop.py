"""A training loop of one's own on images that are drawn while it runs: ``python plain_loop.py``."""

import timm
import torch
from torch.utils.data import DataLoader
from torchvision import transforms

from fdsl_train import FormulaDataset


def train(recipe: str, steps: int, *, workers: int = 2) -> list[float]:
    """Losses of a very small ViT on a recipe, one for each step."""
    augment = transforms.Compose(
        [
            transforms.RandomResizedCrop(64, scale=(0.5, 1.0), antialias=True),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.1, 0.1, 0.1), (0.1, 0.1, 0.1)),
        ]
    )
    dataset = FormulaDataset(recipe, transform=augment)
    loader = DataLoader(dataset, batch_size=16, shuffle=True, num_workers=workers, drop_last=True)
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, embed_dim=96, depth=2, num_classes=dataset.num_classes
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses: list[float] = []
    while len(losses) < steps:
        for images, labels in loader:
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == steps:
                break
    return losses


if __name__ == "__main__":
    found = train("recipe:fractal-1?num_categories=64", 60)
    print(f"loss {found[0]:.2f} -> {found[-1]:.2f}")
