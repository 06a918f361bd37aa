"""The form of smoothing: which method with what, and the longest gap that is filled."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_deepmtj._napari.plot.controller import PlotController
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.tracking.series import Duration
from napari_deepmtj.tracking.smooth import (
    AuthorsChain,
    Butterworth,
    Fill,
    Hampel,
    Kalman,
    Method,
    SavitzkyGolay,
)

#: What is offered -> the method with its defaults.
METHODS: dict[str, Method] = {
    "Kalman smoother": Kalman(),
    "Butterworth, zero lag": Butterworth(),
    "Savitzky-Golay": SavitzkyGolay(),
    "Hampel": Hampel(),
    "authors' chain": AuthorsChain(),
    "fill gaps only": Fill(),
}

#: Parameter -> what the form calls it, unit, least, largest, step.
PARAMETERS: dict[str, tuple[str, str, float, float, float]] = {
    "cutoff_hz": ("cut-off", " Hz", 0.1, 500.0, 0.5),
    "order": ("order", "", 1, 12, 1),
    "window": ("window", " rows", 3, 999, 2),
    "half_window": ("rows on either side", "", 1, 500, 1),
    "sigmas": ("threshold", " SD", 0.1, 100.0, 0.5),
    "z": ("removed beyond", " SD", 0.1, 100.0, 0.5),
    "limit": ("interpolated at most", " rows", 0, 9999, 1),
}
ESTIMATED = "weighted by each frame's SD; estimated from the clip"
SECONDS, FRAMES = "s", "frames"


class SmoothForm(QWidget):
    """Which method, with what, and buttons to apply it and to take it away."""

    def __init__(self, over_time: PlotController) -> None:
        super().__init__()
        self._over_time = over_time
        self.method = QComboBox()
        self.method.addItems(list(METHODS))
        self.parameters: dict[str, Any] = {}
        self.gap = QDoubleSpinBox(maximum=1000.0, singleStep=0.1, decimals=2)
        self.gap.setSpecialValueText("usual")
        self.gap.setToolTip(
            "Longer gaps are never filled, nor is anything smoothed across them. Usual is 0.2 s, "
            "5 frames without times, 20 frames for the authors' chain."
        )
        self.unit = QComboBox()
        self.unit.addItems([SECONDS, FRAMES])
        self.apply = QPushButton("Smooth")
        self.apply.setToolTip("From the raw values; they and what a person set are kept.")
        self.remove = QPushButton("Remove smoothing")
        self.remove.setToolTip("Use the raw values again; what a person set stays.")
        self.state = QLabel(wordWrap=True)
        self._rows = QFormLayout()
        gap = QHBoxLayout()
        gap.addWidget(self.gap, 1)
        gap.addWidget(self.unit)
        form = QFormLayout()
        form.addRow("method", self.method)
        form.addRow("longest gap", gap)
        buttons = QHBoxLayout()
        buttons.addWidget(self.apply)
        buttons.addWidget(self.remove)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addLayout(form)
        column.addLayout(self._rows)
        column.addLayout(buttons)
        column.addWidget(self.state)
        column.addStretch()
        self.method.currentTextChanged.connect(self._show_parameters)
        self.apply.clicked.connect(self._smooth)
        self.remove.clicked.connect(lambda: over_time.unsmooth())
        self._show_parameters(self.method.currentText())

    def wanted(self) -> Method:
        """Return the method with the parameters of the form."""
        start = METHODS[self.method.currentText()]
        values = {
            name: box.currentText() if isinstance(box, QComboBox) else box.value()
            for name, box in self.parameters.items()
        }
        return type(start)(**values)

    def max_gap(self) -> Duration | None:
        """Return the longest gap; None is the method's own."""
        value = self.gap.value()
        if not value:
            return None
        in_seconds = self.unit.currentText() == SECONDS
        return Duration.seconds(value) if in_seconds else Duration.frames(value)

    def show_state(self, trajectory: Trajectory | None) -> None:
        """Say how the result that is shown is smoothed."""
        self.state.setText("" if trajectory is None else state_of(trajectory))

    def _smooth(self) -> None:
        try:
            self._over_time.method = self.wanted()
        except ResultError as error:
            self._over_time.tell(str(error))
            return
        self._over_time.max_gap = self.max_gap()
        self._over_time.smooth()

    def _show_parameters(self, name: str) -> None:
        while self._rows.rowCount():
            self._rows.removeRow(0)
        self.parameters = {}
        start = METHODS[name]
        for field in fields(start):  # type: ignore[arg-type]
            value = getattr(start, field.name)
            if field.name == "kind":
                box: Any = QComboBox()
                box.addItems(["pchip", "linear"])
                self._rows.addRow("with", box)
            elif field.name in PARAMETERS:
                text, unit, least, top, step = PARAMETERS[field.name]
                whole = isinstance(value, int)
                box = QSpinBox() if whole else QDoubleSpinBox(decimals=1)
                box.setRange(least, top)
                box.setSingleStep(step)
                box.setSuffix(unit)
                box.setValue(value)
                self._rows.addRow(text, box)
            else:
                continue
            self.parameters[field.name] = box
        if not self.parameters:
            said = QLabel(ESTIMATED, wordWrap=True)
            self._rows.addRow(said)


def state_of(trajectory: Trajectory) -> str:
    """Return what the log says of smoothing: the last that was done and not taken away."""
    said = [
        op for op in trajectory.provenance.operations if op.name in ("smooth", "unsmooth", "track")
    ]
    if not said or said[-1].name != "smooth":
        return "Not smoothed."
    arguments = said[-1].arguments
    return (
        f"Smoothed: {arguments['method']}, gaps of at most {arguments['max_gap']} filled, "
        f"{arguments['filled']} frames."
    )
