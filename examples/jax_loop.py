"""A raw JAX loop with exact epochs: no framework above it, and iterations from Epochwise.

python examples/jax_loop.py
"""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import epochwise

SEED = 0
LEARNING_RATE = 0.5

x, y = load_digits(return_X_y=True)
x, y = jnp.asarray(x / 16, jnp.float32), jnp.asarray(y)

rng = np.random.default_rng(SEED)
weights = {
    "hidden": jnp.asarray(rng.normal(0, 0.1, (64, 128)), jnp.float32),
    "output": jnp.asarray(rng.normal(0, 0.1, (128, 10)), jnp.float32),
}


def loss_of(weights, inputs, targets):
    """Return the mean cross-entropy of a batch."""
    logits = jax.nn.relu(inputs @ weights["hidden"]) @ weights["output"]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], 1).mean()


@jax.jit
def update(weights, indices):
    """Return the weights after one iteration, and the loss before it."""
    loss, gradients = jax.value_and_grad(loss_of)(weights, x[indices], y[indices])
    return jax.tree.map(lambda w, g: w - LEARNING_RATE * g, weights, gradients), loss


plan = epochwise.Plan(samples=len(x), batch_size=64, epochs=5)
loss_sum = 0.0
for batch in epochwise.iterate(plan, seed=SEED):
    weights, loss = update(weights, batch.indices)
    loss_sum += float(loss) * batch.batch_size
    if batch.closes_epoch:
        print(f"epoch {batch.epoch}, iteration {batch.iteration}, loss {loss_sum / len(x):.4f}")
        loss_sum = 0.0
print(f"{batch.iteration} of {plan.iterations} iterations = weight updates")
