"""The form of signals of other devices: which file, and how it is brought to the clip's time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_deepmtj._napari.plot.channels import WAYS
from napari_deepmtj._napari.plot.controller import PlotController
from napari_deepmtj._napari.viewer.settings import read_settings


class ChannelsForm(QWidget):
    """Add channels to the clip that is shown, and synchronise them."""

    def __init__(self, over_time: PlotController) -> None:
        super().__init__()
        self._signals = over_time.signals
        self.file = QLabel(wordWrap=True)
        self.add, self.remove = QPushButton("Add..."), QPushButton("Remove")
        self.add.setToolTip("Force, angle or EMG of another device: CSV with a header, or C3D.")
        self.how, self.channel = QComboBox(), QComboBox()
        self.how.addItems(list(WAYS))
        self.how.setToolTip(
            "One clock; a rising edge that was sent at a known time of the clip; or the shift at "
            "which a channel looks most like the displacement."
        )
        self.rate = QDoubleSpinBox(maximum=1e6, decimals=3, suffix=" Hz")
        self.rate.setSpecialValueText("times in the file")
        self.rate.setToolTip("Samples a second of a CSV without a column of times.")
        self.offset = QDoubleSpinBox(minimum=-1e5, maximum=1e5, decimals=4, suffix=" s")
        self.offset.setSingleStep(0.01)
        self.apply = QPushButton("Synchronise")
        top = QHBoxLayout()
        top.addWidget(self.file, 1)
        top.addWidget(self.add)
        top.addWidget(self.remove)
        self._form = QFormLayout()
        self._form.addRow("rate of a CSV", self.rate)
        self._form.addRow("by", self.how)
        self._form.addRow("channel", self.channel)
        self._form.addRow("zero of the clock at", self.offset)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addLayout(top)
        column.addLayout(self._form)
        column.addWidget(self.apply)
        column.addStretch()
        self.add.clicked.connect(self._add)
        self.remove.clicked.connect(lambda: self._signals.remove())
        self.how.currentTextChanged.connect(self._show_way)
        self.apply.clicked.connect(self._synchronise)
        self._show_way(self.how.currentText())

    def show_recording(self) -> None:
        """Show what was recorded with the clip that is shown."""
        recording = self._signals.shown()
        names = [] if recording is None else list(recording.channels.values)
        self.file.setText("no channels" if recording is None else recording.channels.name)
        if names != [self.channel.itemText(i) for i in range(self.channel.count())]:
            self.channel.clear()
            self.channel.addItems(names)
        for widget in (self.remove, self.apply):
            widget.setEnabled(recording is not None)

    def _add(self) -> None:
        start = str(read_settings().folder or Path.cwd())
        chosen, _ = QFileDialog.getOpenFileName(
            self, "Channels", start, "Channels (*.csv *.txt *.tsv *.c3d *.mot *.sto)"
        )
        if chosen:
            self._signals.read(Path(chosen), self.rate.value() or None)

    def _synchronise(self) -> None:
        how = WAYS[self.how.currentIndex()]
        self._signals.synchronise(how, self.channel.currentText(), self.offset.value())

    def _show_way(self, how: str) -> None:
        rows: dict[Any, bool] = {
            self.channel: how != "shared clock",
            self.offset: how != "cross-correlation",
        }
        for widget, wanted in rows.items():
            self._form.setRowVisible(widget, wanted)
        label = self._form.labelForField(self.offset)
        text = "edge at" if how == "trigger" else "zero of the clock at"
        getattr(label, "setText")(text)  # noqa: B009
