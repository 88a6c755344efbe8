"""The parts of timm's ``train.py`` on a recipe instead of a folder: ``python timm_loop.py``."""

import timm
import torch
from timm.data import Mixup, create_loader
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import AverageMeter

from fdsl_train import FormulaDataset


def train(recipe: str, epochs: int, *, workers: int = 2) -> list[float]:
    """Mean loss of each epoch of a very small ViT."""
    dataset = FormulaDataset(recipe)  # timm sets its transform
    loader = create_loader(
        dataset,
        input_size=(3, 64, 64),
        batch_size=16,
        is_training=True,
        auto_augment="rand-m9-mstd0.5-inc1",
        scale=(0.5, 1.0),
        mean=(0.1, 0.1, 0.1),
        std=(0.1, 0.1, 0.1),
        num_workers=workers,
        use_prefetcher=False,
        persistent_workers=workers > 0,
    )
    mixup = Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, num_classes=dataset.num_classes)
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, embed_dim=96, depth=2, num_classes=dataset.num_classes
    )
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    schedule = CosineLRScheduler(optimizer, t_initial=epochs, lr_min=1e-5)
    criterion = SoftTargetCrossEntropy()
    means = []
    for epoch in range(epochs):
        losses = AverageMeter()
        for images, labels in loader:
            images, targets = mixup(images, labels)
            loss = criterion(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.update(loss.item(), len(images))
        schedule.step(epoch + 1)
        means.append(losses.avg)
    return means


if __name__ == "__main__":
    for epoch, mean in enumerate(train("recipe:rcdb-1k?num_categories=16&num_instances=16", 5)):
        print(f"epoch {epoch}: loss {mean:.3f}")
