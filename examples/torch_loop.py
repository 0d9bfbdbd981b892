"""A plain PyTorch loop with exact epochs, which goes on in the middle of one bit for bit.

python examples/torch_loop.py                    trains 5 epochs on scikit-learn's digits
python examples/torch_loop.py --stop-after 40    stops in the second epoch
python examples/torch_loop.py                    goes on with iteration 41

The weights at the end are the same, whether it was stopped, killed or neither, and with any
number of workers.
"""

import argparse
import hashlib
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import epochwise

SEED = 0
SAVE_EVERY = 20  # iterations

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--stop-after", type=int, metavar="ITERATIONS")
parser.add_argument("--workers", type=int, default=0)
parser.add_argument("--checkpoint", type=Path, default=Path("torch_loop.pt"))
options = parser.parse_args()

x, y = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y))

torch.manual_seed(SEED)
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
optimizer = torch.optim.Adam(model.parameters())
position = epochwise.Position()
if options.checkpoint.exists():
    saved = torch.load(options.checkpoint, weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    position = epochwise.Position.from_json(saved["position"])


def save(place: epochwise.Position) -> None:
    """Write a checkpoint beside the old one and put it in its place, whole or not at all."""
    written = options.checkpoint.with_suffix(".new")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**state, "position": place.to_json()}, written)
    written.replace(options.checkpoint)


plan = epochwise.Plan(samples=len(data), batch_size=64, epochs=options.epochs)
sampler = epochwise.EpochSampler(plan, seed=SEED, position=position)
loader = DataLoader(data, batch_sampler=sampler, num_workers=options.workers)
print(
    f"{plan.iterations_per_epoch} iterations an epoch, {plan.iterations:,} in all", flush=True
)

loss_sum = samples = 0
for batch, (inputs, targets) in sampler.follow(loader):
    torch.manual_seed(batch.random_seed("dropout"))
    loss = nn.functional.cross_entropy(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

    loss_sum += loss.item() * len(targets)
    samples += len(targets)
    if batch.iteration % SAVE_EVERY == 0 or batch.after.iterations_done == plan.iterations:
        save(batch.after)
    if batch.iteration == options.stop_after:
        save(batch.after)
        raise SystemExit(f"stopped after iteration {batch.iteration}")
    if batch.closes_epoch:
        print(f"epoch {batch.epoch}, iteration {batch.iteration}, ", end="")
        print(f"loss {loss_sum / samples:.4f} over {samples:,} samples", flush=True)
        loss_sum = samples = 0

digest = hashlib.sha256()
for values in model.state_dict().values():
    digest.update(values.numpy().tobytes())
print(f"{sampler.position.iterations_done:,} iterations done, weights {digest.hexdigest()}")
