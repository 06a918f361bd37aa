"""Channels found at a known offset, by each way, and brought to true times without invention."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_deepmtj.errors import ChannelError
from napari_deepmtj.mechanics.channels import Channels
from napari_deepmtj.mechanics.resample import interpolate, resample
from napari_deepmtj.mechanics.sync import by_clock, by_correlation, by_trigger

OFFSET = 1.237


def uneven(seconds: float = 8.0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(3).uniform(1 / 60, 1 / 15, int(seconds * 24)))


def effort(t: np.ndarray) -> np.ndarray:
    """A contraction with a hump on its way: unlike any shifted copy of itself."""
    return 1 / (1 + np.exp(-4 * (t - 3))) - 1 / (1 + np.exp(-9 * (t - 6))) + 0.2 * np.sin(t)


def recorded(signal, rate: float = 500.0, seconds: float = 12.0, **more) -> Channels:
    """Return what a device that was started OFFSET before the clip records."""
    t = np.arange(-OFFSET, seconds - OFFSET, 1 / rate)
    values = {"signal": signal(t), **{name: row(t) for name, row in more.items()}}
    return Channels(t + OFFSET, values, dict.fromkeys(values, "V"), "dyno.csv")


def test_shared_clock() -> None:
    assert by_clock(-0.5).to_json() == {"how": "shared clock", "offset_s": -0.5}
    with pytest.raises(ChannelError, match="impossible"):
        by_clock(float("nan"))


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("clip_time", [0.0, 0.4])
def test_trigger(noise: float, clip_time: float) -> None:
    rng = np.random.default_rng(0)
    channels = recorded(
        lambda t: 5.0 * ((t >= clip_time) & (t < clip_time + 0.1)) + rng.normal(0, noise, len(t))
    )
    sync = by_trigger(channels, "signal", clip_time_s=clip_time)
    assert sync.offset_s == pytest.approx(-OFFSET, abs=1 / 500)
    assert json.loads(json.dumps(sync.to_json()))["edge"] == 1


def test_several_edges_must_be_chosen_from() -> None:
    channels = recorded(lambda t: 5.0 * ((t % 2) < 0.5))
    with pytest.raises(ChannelError, match=r"6 rising edges, at 1\.2"):
        by_trigger(channels, "signal")
    assert by_trigger(channels, "signal", which=1).offset_s == pytest.approx(-OFFSET, abs=2e-3)
    second = by_trigger(channels, "signal", which=2, clip_time_s=2.0)
    assert second.offset_s == pytest.approx(-OFFSET, abs=2e-3)
    with pytest.raises(ChannelError, match="6 rising edges"):
        by_trigger(channels, "signal", which=7)
    with pytest.raises(ChannelError, match="no rising edge through 9"):
        by_trigger(channels, "signal", threshold=9)
    with pytest.raises(ChannelError, match="flat"):
        by_trigger(recorded(np.zeros_like), "signal")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rate", [20.0, 500.0])
def test_cross_correlation_between_grid_points(sign, rate: float) -> None:
    rng = np.random.default_rng(1)
    t = uneven()
    signal = 7 * effort(t) + rng.normal(0, 0.2, len(t)) + 30
    signal[40:60] = np.nan
    channels = recorded(lambda t: sign * effort(t), rate)
    sync = by_correlation(channels, "signal", t, signal, sign=sign)
    assert sync.offset_s == pytest.approx(-OFFSET, abs=0.01)
    assert sync.peak > 0.98
    assert sync.shifts_s[np.nanargmax(sync.correlation)] == pytest.approx(sync.offset_s, abs=0.03)
    if sign == -1:
        with pytest.raises(ChannelError, match=r"at most|nearly as well|the end of"):
            by_correlation(channels, "signal", t, signal)


def test_the_curve_is_pearsons_correlation_of_what_is_in_common() -> None:
    t = np.arange(40) / 10
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 40)) + [[100], [-3]]
    b[17] = np.nan
    channels = Channels(t, {"a": a}, {"a": ""})
    sync = by_correlation(channels, "a", t, b, least=-1, margin=-2, max_shift_s=1.0)
    known = np.isfinite(sync.correlation)
    assert known.sum() == 21
    filled = np.interp(t, t[np.isfinite(b)], b[np.isfinite(b)])  # 0.2 s: bridged
    for shift, r in zip(sync.shifts_s[known], sync.correlation[known], strict=True):
        lag = round(shift * 10)
        left, right = a[max(-lag, 0) : 40 - max(lag, 0)], filled[max(lag, 0) : 40 - max(-lag, 0)]
        assert r == pytest.approx(np.corrcoef(left, right)[0, 1], abs=1e-9)


def test_a_cycle_that_repeats_has_no_one_shift() -> None:
    t = uneven()

    def wave(t: np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * 0.7 * t)

    channels = recorded(wave)
    with pytest.raises(ChannelError, match=r"nearly as well at .* limit the shift"):
        by_correlation(channels, "signal", t, wave(t))
    near = by_correlation(channels.shifted(-OFFSET + 0.1), "signal", t, wave(t), max_shift_s=0.5)
    assert near.offset_s == pytest.approx(-0.1, abs=0.005)


def test_a_peak_that_cannot_be_seen_is_refused() -> None:
    t = uneven()
    with pytest.raises(ChannelError, match="the end of what was looked at"):
        by_correlation(recorded(effort), "signal", t, effort(t), max_shift_s=1.0)
    noise = np.random.default_rng(4).normal(size=len(t))
    with pytest.raises(ChannelError, match="at most"):
        by_correlation(recorded(effort), "signal", t, noise)
    with pytest.raises(ChannelError, match="too little in common"):
        by_correlation(recorded(effort), "signal", t, np.full(len(t), np.nan))
    with pytest.raises(ChannelError, match="too little in common"):
        by_correlation(recorded(np.ones_like), "signal", t, effort(t))
    with pytest.raises(ChannelError, match="upside down"):
        by_correlation(recorded(effort), "signal", t, -effort(t), max_shift_s=1.3)


def test_resampling_is_linear_on_true_times_and_stops_at_the_ends() -> None:
    t = uneven(12)
    channels = recorded(lambda t: 3 * t + 1, rate=37.0, seconds=9.0)
    done = resample(channels, -OFFSET, t)
    end = channels.times_s[-1] - OFFSET
    inside = t <= end
    assert done.channels["signal"][inside] == pytest.approx(3 * t[inside] + 1, abs=1e-9)
    assert np.isnan(done.channels["signal"][~inside]).all()
    assert done.channels.times_s == pytest.approx(t)
    assert any(f"{(~inside).sum()} of {len(t)} frames" in said for said in done.notices)
    assert done.settings["lowpass_hz"] is None


def test_nothing_is_invented_in_a_pause() -> None:
    t = np.r_[np.arange(0, 1, 0.1), np.arange(3, 4, 0.1)]
    row = t.copy()
    row[4] = np.nan
    at = np.array([-0.1, 0.0, 0.4, 0.9, 1.0, 2.0, 3.0, 3.05, 3.95])
    found = interpolate(t, row, at, 0.2)
    assert found == pytest.approx(
        [np.nan, 0, 0.4, 0.9, np.nan, np.nan, 3, 3.05, np.nan], nan_ok=True
    )
    assert np.isnan(interpolate(t, row, at, 0.1)[2])
    slow = np.arange(5.0)  # samples a second apart are no gaps
    assert interpolate(slow, slow, np.array([0.5]), 0.2) == pytest.approx([0.5])
    assert np.isnan(interpolate(slow, slow * np.nan, at, 0.2)).all()


def test_low_pass_keeps_fast_noise_out_and_its_absence_is_said() -> None:
    t = np.arange(0, 6, 1 / 25)
    channels = recorded(lambda t: np.sin(t) + np.sin(2 * np.pi * 24 * t), rate=1000)
    raw = resample(channels, -OFFSET, t)
    assert np.std(raw.channels["signal"] - np.sin(t)) > 0.5
    assert any("12.5 Hz" in said for said in raw.notices)
    clean = resample(channels, -OFFSET, t, lowpass_hz=6.0)
    assert np.abs(clean.channels["signal"] - np.sin(t)).max() < 0.01
    assert clean.notices == ()
    assert (clean.settings["lowpass_hz"], clean.settings["lowpass_order"]) == (6.0, 4)
    with pytest.raises(ChannelError, match="cut-off"):
        resample(channels, 0.0, t, lowpass_hz=600)


def test_clip_and_recording_must_meet() -> None:
    channels = recorded(effort)
    with pytest.raises(ChannelError, match="nothing in common"):
        resample(channels, 100.0, np.arange(5) / 25)
    with pytest.raises(ChannelError, match="no times"):
        resample(channels, 0.0, np.full(5, np.nan))
