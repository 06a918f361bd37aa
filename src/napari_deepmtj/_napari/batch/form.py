"""What a person wants of a batch, as a form; the choice itself is kept by `controller`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QInputDialog,
    QLineEdit,
    QWidget,
)

from napari_deepmtj._napari.batch.entries import Wanted, keep_preset, presets
from napari_deepmtj._napari.viewer.forms import button, leave, side_by_side
from napari_deepmtj._napari.viewer.settings import read_settings
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.inference.backends.base import BackendName
from napari_deepmtj.weights.store import list_models, read_card, resolve_model

if TYPE_CHECKING:
    from napari_deepmtj._napari.batch.controller import BatchController

#: Choices of the instrument that are no presets.
EACH, WHOLE = "as each clip says, else found", "whole picture"
#: The choice of no attention map.
NONE = "none"


class WantedForm(QWidget):
    """Model, device, presets, outputs and the folder of a batch.

    Parameters
    ----------
    controller : BatchController
        Whose choice it shows.
    """

    def __init__(self, controller: BatchController) -> None:
        super().__init__()
        self._controller = controller
        self.include = QLineEdit(placeholderText="all clips")
        self.include.setToolTip("Of folders, only files of such names: *.avi *_mvc*")
        self.pattern = QLineEdit(placeholderText="nothing")
        self.pattern.setToolTip(
            "What paths say of their clips, as a regular expression with named groups: "
            "(?P<subject>S[0-9]+)/(?P<movement>mvc|rom)"
        )
        self.model, self.device, self.backend = QComboBox(), QComboBox(), QComboBox()
        self.preset, self.attention = QComboBox(), QComboBox()
        self.device.addItems(["auto", "cuda", "mps", "cpu"])
        self.backend.addItems([name.value for name in BackendName])
        self.backend.setToolTip(
            "What computes the network; auto is torch on a GPU and ONNX Runtime on a CPU."
        )
        self.preset.setToolTip(
            "Region, scale and distal side of the instrument, for clips of which nothing else is "
            "said."
        )
        self.keep = button("Keep...", "Keep region, scale and side of the active clip as a preset.")
        self.attention.setToolTip("Which attention map is saved beside each result.")
        self.fuse = QCheckBox("flow")
        self.fuse.setToolTip("Move the network's positions as the tissue moves.")
        self.video = QCheckBox("video")
        self.video.setToolTip("A video of each clip with its MTJ drawn.")
        self.report = QCheckBox("report")
        self.report.setToolTip("One HTML report on all clips, the worst first.")
        self.out = QLineEdit(placeholderText="asked for before the run")
        self.out.setToolTip("Folder for results, tables and the ledger of what is done.")
        self.browse = button("Choose...", "Choose the folder for the results.")
        self._lay_out()
        self._offer_models(controller.session.made_model or read_settings().model)
        self._offer_presets()
        self._show(controller.wanted)
        self._connect()
        self._choose()

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        for combo in (self.model, self.device, self.backend, self.preset, self.attention):
            combo.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
        form.addRow("only names", self.include)
        form.addRow("paths say", self.pattern)
        form.addRow("model", self.model)
        form.addRow("device", side_by_side(self.device, self.backend))
        instrument = side_by_side(self.preset, self.keep)
        instrument.setStretch(0, 1)
        form.addRow("instrument", instrument)
        form.addRow("attention", self.attention)
        form.addRow("also", side_by_side(self.fuse, self.video, self.report))
        folder = side_by_side(self.out, self.browse)
        folder.setStretch(0, 1)
        form.addRow("results in", folder)

    def _connect(self) -> None:
        for line in (self.include, self.pattern, self.out):
            line.editingFinished.connect(self._choose)
        for combo in (self.device, self.backend, self.preset, self.attention):
            combo.currentIndexChanged.connect(self._choose)
        for box in (self.fuse, self.video, self.report):
            box.toggled.connect(self._choose)
        self.model.currentIndexChanged.connect(self._on_model)
        self.browse.clicked.connect(lambda: self.ask_folder(Path(self.out.text() or ".")))
        self.keep.clicked.connect(self._keep)
        made = self._controller.session.events.made_model
        made.connect(self._take_model)
        # not a method: Qt calls none of an object that is gone
        self.destroyed.connect(partial(leave, [(made, self._take_model)]))

    # ----- actions ----------------------------------------------------------------------------

    def ask_folder(self, start: Path) -> bool:
        """Ask for the folder of the results; return whether one was chosen."""
        chosen = QFileDialog.getExistingDirectory(self, "Folder for the results", str(start))
        if chosen:
            self.out.setText(chosen)
            self._choose()
        return bool(chosen)

    def _choose(self, *_: Any) -> None:
        out, instrument = self.out.text().strip(), self.preset.currentText()
        attention = self.attention.currentText()
        self._controller.choose(
            Wanted(
                out=Path(out).expanduser() if out else None,
                include=self.include.text().strip(),
                pattern=self.pattern.text().strip(),
                model=self.model.currentText(),
                device=self.device.currentText(),
                backend=self.backend.currentText(),
                roi="full" if instrument == WHOLE else "auto",
                preset="" if instrument in (EACH, WHOLE) else instrument,
                attention="" if attention == NONE else attention,
                fuse=self.fuse.isChecked(),
                video=self.video.isChecked(),
                report=self.report.isChecked(),
            )
        )

    def _keep(self) -> None:
        name, ok = QInputDialog.getText(self, "Keep a preset", "name of the instrument")
        if not (ok and name.strip()):
            return
        try:
            self._controller.tell(keep_preset(name.strip(), self._controller.session.info))
        except DeepMTJError as error:
            self._controller.tell(str(error))
            return
        self._offer_presets()
        self.preset.setCurrentText(name.strip())

    # ----- what is offered --------------------------------------------------------------------

    def _on_model(self, *_: Any) -> None:
        self._offer_maps()
        self._choose()

    def _offer_maps(self) -> None:
        """Offer the attention maps of the model."""
        wanted, model = self.attention.currentText(), self.model.currentText()
        try:
            maps = read_card(resolve_model(model)).attention.choices
        except DeepMTJError:  # said when it is used
            maps = ()
        self.attention.blockSignals(True)
        self.attention.clear()
        self.attention.addItems([NONE, *maps])
        self.attention.setCurrentText(wanted)
        self.attention.blockSignals(False)

    def _offer_models(self, chosen: str) -> None:
        self.model.blockSignals(True)
        self.model.clear()
        self.model.addItems(list(dict.fromkeys([chosen, *(card.id for card in list_models())])))
        self.model.blockSignals(False)
        self._offer_maps()

    def _take_model(self, model: str) -> None:
        """Offer a model that was just made."""
        now = self.model.currentText()
        self._offer_models(model)
        self.model.setCurrentText(now)

    def _offer_presets(self) -> None:
        try:
            known = presets()
        except DeepMTJError as error:
            self._controller.tell(str(error))
            known = []
        self.preset.blockSignals(True)
        self.preset.clear()
        self.preset.addItems([EACH, WHOLE, *known])
        self.preset.blockSignals(False)

    def _show(self, wanted: Wanted) -> None:
        """Show what was wanted when the form was open before, else the preferences."""
        if wanted == Wanted():
            settings = read_settings()
            wanted = Wanted(
                model=self.model.currentText(), device=settings.device, backend=settings.backend
            )
        self.model.setCurrentText(wanted.model)
        self._offer_maps()
        self.include.setText(wanted.include)
        self.pattern.setText(wanted.pattern)
        self.device.setCurrentText(wanted.device)
        self.backend.setCurrentText(wanted.backend)
        self.preset.setCurrentText(wanted.preset or (WHOLE if wanted.roi == "full" else EACH))
        self.attention.setCurrentText(wanted.attention or NONE)
        self.fuse.setChecked(wanted.fuse)
        self.video.setChecked(wanted.video)
        self.report.setChecked(wanted.report)
        self.out.setText("" if wanted.out is None else str(wanted.out))
