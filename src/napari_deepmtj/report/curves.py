"""The curves of a training run: losses and errors over its epochs. Training is not known here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deepmtj.errors import MissingExtraError
from napari_deepmtj.report.looks import BLUE, ORANGE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_losses(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the loss of training and validation over the epochs, on a logarithmic axis.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw; what is there already stays.
    table : pandas.DataFrame
        One row an epoch: epoch, training_loss, loss.
    """
    axes.plot(table["epoch"], table["training_loss"], color=ORANGE, label="training")
    axes.plot(table["epoch"], table["loss"], color=BLUE, label="validation")
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend()


def draw_errors(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the mean error on the validation over the epochs, and mark the best one.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw; what is there already stays.
    table : pandas.DataFrame
        One row an epoch: epoch, error_px, error_mm (empty where no scale is known).
    """
    in_mm = bool(table["error_mm"].notna().all())
    epochs = table["epoch"].to_numpy()
    error = table["error_mm" if in_mm else "error_px"].to_numpy(float)
    best = int(error.argmin())
    axes.plot(epochs, error, color=BLUE)
    axes.plot(epochs[best], error[best], "o", color=BLUE, label=f"best: {error[best]:.2f}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"mean error of the validation [{'mm' if in_mm else 'px of the input'}]")
    axes.legend()


def curves_figure(table: pd.DataFrame) -> Figure:
    """Return both in one figure, without pyplot's state and without Qt.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("the plot of the training", "plots") from error
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, errors = figure.subplots(1, 2)
    draw_losses(losses, table)
    draw_errors(errors, table)
    return figure
