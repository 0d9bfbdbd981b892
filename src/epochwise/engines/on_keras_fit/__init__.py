"""Somebody else's `model.fit`, watched: what it will do, and what it did.

Nothing here trains. The counts are Keras's own: of the optimizer, of the metric that
averages the loss, and of the hooks of a callback.
"""

from epochwise.engines.on_keras_fit.forecast import FitCall, Forecast, forecast
from epochwise.engines.on_keras_fit.hooks import FitHooks

__all__ = ["FitCall", "FitHooks", "Forecast", "forecast"]
