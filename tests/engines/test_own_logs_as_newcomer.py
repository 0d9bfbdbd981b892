"""L06, L07, L08, L22 as a newcomer meets them: one process, nothing set."""

from __future__ import annotations

import json

from newcomer import run_as_newcomer

PROGRAM = """
import json
import epochwise
import keras
import numpy as np

assert keras.config.backend() == "jax"
x = np.random.default_rng(0).normal(size=(96, 8)).astype("float32")
y = 2 * x[:, :4]
options = dict(batch_size=32, epochs=1, shuffle=False, validation_data=(x, y), verbose=0)

class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4)
        self.dropout = keras.layers.Dropout(0.5, seed=1)

    def call(self, x):
        return self.dense(self.dropout(x, training=True))

class Adds(Own):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        return {**logs, "twice": 2 * logs["loss"]}

class Returns(Own):
    def train_step(self, state, data):
        _, (*values, metrics) = super().train_step(state, data)
        loss = keras.ops.mean(keras.ops.square(data[1]))
        return {"loss": loss, "extra": 2 * loss}, (*values, state[-1])

class Sets(keras.callbacks.Callback):
    def on_test_batch_end(self, batch, logs=None):
        if batch == 0:
            self.model.dense.bias.assign([7.0] * 4)

def trained(kind, train, eager=False, **more):
    keras.utils.set_random_seed(0)
    model = kind()
    model.compile("sgd", "mse", run_eagerly=eager)
    history = train(model, x, y, **options, **more).history
    return {name: list(map(float, told)) for name, told in history.items()}, model

told = {"keras": trained(Adds, keras.Model.fit)[0], "ours": trained(Adds, epochwise.fit)[0]}
told["returned"] = trained(Returns, epochwise.fit)[0]
told["mean"] = float(np.mean([np.mean(y[i : i + 32] ** 2) for i in (0, 32, 64)]))
_, model = trained(Own, epochwise.fit, eager=True, callbacks=[Sets()])
told["bias"] = np.asarray(model.dense.bias).tolist()
print(json.dumps(told))
"""


def test_l06_l07_l08_l22_in_a_process_with_nothing_set() -> None:
    """Draws, logs of one's own and assignments are as `model.fit` has them, or better."""
    told = json.loads(run_as_newcomer(PROGRAM).stdout.splitlines()[-1])

    assert told["ours"] == told["keras"]
    assert "val_twice" in told["keras"]
    assert abs(told["returned"]["loss"][0] - told["mean"]) < 1e-5
    assert abs(told["returned"]["extra"][0] - 2 * told["mean"]) < 1e-5
    assert told["bias"] == [7.0] * 4
