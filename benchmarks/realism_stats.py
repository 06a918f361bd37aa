"""Statistics of B-mode texture: speckle, spectrum, orientation, streaks and grey levels.

Every statistic is a number of one picture or patch at `realism_pictures.PX_PER_MM`; lengths are
in millimetres. Nothing here knows whether the picture is real.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label, regionprops_table

from realism_pictures import PX_PER_MM

#: Range of the logarithmic display that is assumed, on both sides, to undo the compression, in dB.
WINDOW_DB = 60.0
#: Side of the windows of the speckle's signal-to-noise ratio, in pixels (2 mm).
_WINDOW = 8
#: Scale of streaks (mm), and by how many grey levels a ridge stands out at least.
_STREAK_MM, _STREAK_GREY = 0.3, 6.0

Grey = NDArray[np.float64]


def statistics(grey: NDArray[np.uint8]) -> dict[str, float]:
    """All statistics of a picture, uint8 (H, W) of at least 48 x 48 pixels."""
    picture = grey.astype(float)
    return (
        _levels(picture)
        | _speckle(picture)
        | _widths(picture)
        | _spectrum(picture)
        | _bands(picture)
        | _orientation(picture)
        | _streaks(picture)
    )


def _levels(picture: Grey) -> dict[str, float]:
    """Quantiles of grey, its spread, and how much is black or white."""
    shares = (5, 25, 50, 75, 95, 99)
    levels = np.percentile(picture, shares)
    found = {f"grey q{share}": float(grey) for share, grey in zip(shares, levels, strict=True)}
    sd = picture.std() + 1e-9
    found["grey sd"] = float(sd)
    found["grey skew"] = float((((picture - picture.mean()) / sd) ** 3).mean())
    found["black share"] = float((picture < 8).mean())
    found["white share"] = float((picture > 247).mean())
    return found


def _speckle(picture: Grey) -> dict[str, float]:
    """Mean over standard deviation of the amplitude in small windows (1.91 if fully developed)."""
    amplitude = 10 ** (picture / 255 * WINDOW_DB / 20)
    h, w = (length // _WINDOW * _WINDOW for length in picture.shape)

    def windows(values: Grey) -> Grey:
        tiles = values[:h, :w].reshape(h // _WINDOW, _WINDOW, w // _WINDOW, _WINDOW)
        return tiles.transpose(0, 2, 1, 3).reshape(-1, _WINDOW**2)

    bright = windows(picture).mean(axis=1) > 12
    if bright.sum() < 3:
        return dict.fromkeys(("snr q10", "snr median", "snr q90", "local sd", "local sd / mean"), 0)
    tiles, echoes = windows(picture)[bright], windows(amplitude)[bright]
    snr = echoes.mean(axis=1) / (echoes.std(axis=1) + 1e-6)
    q10, q50, q90 = np.percentile(snr, (10, 50, 90))
    local = tiles.std(axis=1)
    return {
        "snr q10": float(q10),
        "snr median": float(q50),
        "snr q90": float(min(q90, 50.0)),
        "local sd": float(np.median(local)),
        "local sd / mean": float(np.median(local / tiles.mean(axis=1))),
    }


def _half_width(rows: Grey) -> float:
    """Lag in mm at which the autocorrelation along axis 1, mean over rows, falls to a half.

    Rows without texture, as those below a bone, are alike at any lag: half their length.
    """
    rows = rows - rows.mean(axis=1, keepdims=True)
    n = rows.shape[1]
    power = (np.abs(np.fft.rfft(rows, 2 * n, axis=1)) ** 2).mean(axis=0)
    correlation = np.fft.irfft(power)[: n // 2] / np.arange(n, n - n // 2, -1)
    below = np.flatnonzero(correlation < 0.5 * correlation[0])
    if not len(below):
        return (n // 2) / PX_PER_MM
    k = int(below[0])
    share = (correlation[k - 1] - 0.5 * correlation[0]) / (correlation[k - 1] - correlation[k])
    return float((k - 1 + share) / PX_PER_MM)


def _widths(picture: Grey) -> dict[str, float]:
    """Widths of the autocorrelation along and across the beam, above and below."""
    fine = picture - ndimage.gaussian_filter(picture, 2.0 * PX_PER_MM / 2)
    half = len(picture) // 2
    found = {}
    for name, part in (("top", fine[:half]), ("bottom", fine[half:])):
        found[f"axial mm {name}"] = _half_width(part.T)
        found[f"lateral mm {name}"] = _half_width(part)
    for axis in ("axial", "lateral"):
        found[f"{axis} bottom/top"] = found[f"{axis} mm bottom"] / found[f"{axis} mm top"]
    found["lateral / axial"] = (found["lateral mm top"] + found["lateral mm bottom"]) / (
        found["axial mm top"] + found["axial mm bottom"]
    )
    return found


def _slope(power: Grey) -> float:
    """Slope of a power spectrum in log-log coordinates from 0.15 to 1.6 cycles/mm."""
    frequency = np.arange(len(power)) * PX_PER_MM / (2 * (len(power) - 1))
    used = (frequency > 0.15) & (frequency < 1.6)
    return float(np.polyfit(np.log(frequency[used]), np.log(power[used] + 1e-9), 1)[0])


def _spectrum(picture: Grey) -> dict[str, float]:
    """Slopes of the power spectrum along and across the beam, and the share of what is fine."""
    found = {}
    for name, rows in (("axial", picture.T), ("lateral", picture)):
        rows = (rows - rows.mean(axis=1, keepdims=True)) * np.hanning(rows.shape[1])
        power = (np.abs(np.fft.rfft(rows, axis=1)) ** 2).mean(axis=0)
        found[f"slope {name}"] = _slope(power)
        found[f"fine {name} dB"] = float(
            10 * np.log10((power[-len(power) // 5 :].mean() + 1e-9) / (power.mean() + 1e-9))
        )
    return found


def _bands(picture: Grey) -> dict[str, float]:
    """Contrast by scale: standard deviation of differences of Gaussians over that of all."""
    scales = [0.0, 0.25, 0.5, 1.0, 2.0]
    smooth = [ndimage.gaussian_filter(picture, s * PX_PER_MM) if s else picture for s in scales]
    whole = picture.std() + 1e-9
    found = {
        f"band {scales[i]:g}-{scales[i + 1]:g} mm": float((smooth[i] - smooth[i + 1]).std() / whole)
        for i in range(len(scales) - 1)
    }
    for name, axis in (("axial", 0), ("lateral", 1)):
        step = np.diff(picture, axis=axis)
        found[f"step {name}"] = float(np.abs(step).mean())
        found[f"step kurtosis {name}"] = float(
            np.log(((step - step.mean()) ** 4).mean() / (step.var() ** 2 + 1e-9) + 1e-9)
        )
    return found


def _orientation(picture: Grey) -> dict[str, float]:
    """Coherence of the structure tensor, and how far directions stray from their mean."""
    smooth = ndimage.gaussian_filter(picture, 0.25 * PX_PER_MM)
    gz, gx = np.gradient(smooth)
    blur = 1.0 * PX_PER_MM
    xx, zz, xz = (ndimage.gaussian_filter(v, blur) for v in (gx * gx, gz * gz, gx * gz))
    trace = xx + zz + 1e-6
    double = np.exp(1j * np.arctan2(2 * xz, xx - zz))
    coherence = np.hypot(xx - zz, 2 * xz) / trace
    # A flat picture has no direction: the resultant is kept off 0.
    resultant = min(max(abs((double * trace).sum() / trace.sum()), 1e-6), 1.0)
    # Directions of lines, not of gradients: level lines have an angle of 0.
    angle = np.degrees(0.5 * np.angle(-double))
    return {
        "coherence median": float(np.median(coherence)),
        "coherence q90": float(np.percentile(coherence, 90)),
        "direction spread": float(np.degrees(np.sqrt(-2 * np.log(resultant)) / 2)),
        "direction angle median": float(np.median(np.abs(angle))),
    }


def _streaks(picture: Grey) -> dict[str, float]:
    """Bright ridges: how much of the picture, how long, how wide, how bright.

    Length and width are the axes of the ellipse of equal moments: 1.15 times a straight streak's.
    """
    sigma = _STREAK_MM * PX_PER_MM
    zz, xz, xx = (
        sigma**2 * ndimage.gaussian_filter(picture, sigma, order=order)
        for order in ((2, 0), (1, 1), (0, 2))
    )
    ridge = 0.5 * (np.hypot(xx - zz, 2 * xz) - (xx + zz))
    mask = ridge > _STREAK_GREY
    found = {"streak density": float(mask.mean())}
    table = regionprops_table(
        label(mask, connectivity=2),
        intensity_image=ridge,
        properties=("area", "axis_major_length", "axis_minor_length", "intensity_mean"),
    )
    large = table["area"] >= 6
    names = ("streak length q50", "streak length q90", "streak width", "streak contrast")
    if large.sum() < 3:
        return found | dict.fromkeys((*names, "streaks a cm2"), 0.0)
    length = table["axis_major_length"][large] / PX_PER_MM
    values = (
        np.median(length),
        np.percentile(length, 90),
        np.median(table["axis_minor_length"][large]) / PX_PER_MM,
        np.percentile(table["intensity_mean"][large], 75),
    )
    found |= dict(zip(names, map(float, values), strict=True))
    found["streaks a cm2"] = float(large.sum() / (picture.size / PX_PER_MM**2 / 100))
    return found
