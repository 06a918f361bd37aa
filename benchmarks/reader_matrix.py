"""Hold the reader against FFmpeg over a matrix of codecs, containers, sizes and ranges.

Every clip is written, read whole and at random, and compared: the number that each frame shows
with the number it was asked for, the times with those that were intended, the grey levels with
two references that do not pass through this project, both from the `ffmpeg` program:

- FFmpeg's own conversion to full-range grey (swscale, which rounds twice: up to 1 level);
- the samples as decoded, put through the definition in floating point (BT.601 luma;
  255 (Y - 16) / 219 for limited range) and rounded once: no difference at all, but 1 level for
  deep colours and deep packed samples, which the reader has swscale make 8 bit deep.

    python benchmarks/reader_matrix.py [--only h264] [--real FOLDER] [--output FILE --docs]

Random reads are measured with room for two frames in memory, so that nearly every one decodes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parent))
from matrix_clips import CASES, Case
from matrix_pictures import luma_exactly, number_of, picture
from matrix_real import Real, read_real, real_table
from napari_deepmtj.video.ffmpeg import source as _av
from napari_deepmtj.video.opening import VideoSource, open_video

READS = 80
#: Levels by which swscale, which rounds twice, may differ from one rounding.
SWSCALE_ROUNDS = 1
#: A range taken for the other shifts the mean by 9 levels; no codec here comes near.
NEAR_THE_DRAWING = 4.0

DOCS = Path(__file__).parents[1] / "docs" / "reference" / "clips.md"


@dataclass
class Result:
    """What was found out about one clip; `wrong` says what is not as it should be."""

    file: str
    codec: str
    pixels: str
    size: str
    colour: str
    frames: int
    rate: str
    reads: int
    misread: int
    time_ms: float
    swscale_max: int
    swscale_mean: float
    grey_max: int
    median_ms: float
    p95_ms: float
    next_ms: float
    wrong: list[str]


def measure(case: Case, path: Path, seed: int) -> Result:
    """Read a clip in every way and compare."""
    wrong: list[str] = []
    with open_video(path) as source:
        expected = list(case.numbers)
        if source.n_frames != len(expected):
            wrong.append(f"{source.n_frames} frames instead of {len(expected)}")
        if (source.height, source.width) != case.shown:
            wrong.append(f"size {source.height} x {source.width}")
        late = _time_error(source, case)
        if late > 1000 * case.tick / 2 + 1e-3:
            wrong.append(f"times are off by {late:.3f} ms")
        sums, grey, drawn, next_ms = _sequence(source, path, case, seed, wrong)
        misread, durations = _random_reads(path, sums, expected, seed)
        if misread:
            wrong.append(f"{misread} random reads gave another frame")
        if abs(drawn) > NEAR_THE_DRAWING:
            wrong.append(f"the mean is {drawn:+.1f} levels off the drawing")
        wrong += _told(source, case)
        facts = source.metadata
        uneven = "uneven" if case.variable else f"{float(case.rate):.4g} Hz"
        return Result(
            file=case.file,
            codec=facts["codec"],
            pixels=facts["pixel_format"],
            size=f"{source.width} x {source.height}",
            colour=case.colour,
            frames=source.n_frames,
            rate=uneven,
            reads=len(durations),
            misread=misread,
            time_ms=late,
            swscale_max=grey.swscale,
            swscale_mean=grey.mean,
            grey_max=grey.exact,
            median_ms=float(np.median(durations)),
            p95_ms=float(np.percentile(durations, 95)),
            next_ms=next_ms,
            wrong=wrong,
        )


def _time_error(source: VideoSource, case: Case) -> float:
    """Return the largest error of the frame times, in milliseconds."""
    seconds = source.times.seconds
    if seconds is None or len(seconds) != len(case.seconds):
        return float("inf")
    return float(np.abs(seconds - case.seconds).max()) * 1000


@dataclass
class Grey:
    """Largest difference from each reference, and the mean one from swscale's, in levels."""

    swscale: int = 0
    mean: float = 0.0
    exact: int = 0


def _sequence(
    source: VideoSource, path: Path, case: Case, seed: int, wrong: list[str]
) -> tuple[list[int], Grey, float, float]:
    """Read all frames in order; return checksums, grey errors, bias, milliseconds a frame."""
    grey, sums, means, biases = Grey(), [], [], []
    spent = 0.0
    swscale = _by_swscale(path, source, case)
    exact = _by_definition(path, source, case)
    frames = source.frames()
    for number in case.numbers:
        start = time.perf_counter()
        ours = next(frames, None)
        spent += time.perf_counter() - start
        theirs, defined = next(swscale, None), next(exact, None)
        if ours is None or theirs is None or defined is None:
            wrong.append(f"ends before frame {number}" if ours is None else "FFmpeg ends earlier")
            break
        if (shown := number_of(ours)) != number:
            wrong.append(f"frame {number - case.hidden} shows {shown} instead of {number}")
        sums.append(zlib.crc32(ours.tobytes()))
        away = np.abs(ours.astype(np.int16) - theirs)
        grey.swscale = max(grey.swscale, int(away.max()))
        means.append(float(away.mean()))
        rounded = np.floor(defined + 0.5).clip(0, 255)
        grey.exact = max(grey.exact, int(np.abs(ours - rounded).max()))
        if number % 10 == 0:
            drawn = luma_exactly(picture(number, *case.shown, seed))
            biases.append(float(np.mean(ours - drawn)))
    if next(frames, None) is not None or next(swscale, None) is not None:
        wrong.append("there are more frames than were written")
    if grey.swscale > SWSCALE_ROUNDS:
        wrong.append(f"grey is up to {grey.swscale} levels off swscale's")
    made_8_bit = source.metadata["pixel_format"] in ("gbrp10le", "v30xle")
    if grey.exact > made_8_bit:
        wrong.append(f"grey is up to {grey.exact} levels off the definition")
    grey.mean = float(np.mean(means)) if means else 0.0
    return sums, grey, float(np.mean(biases or [0])), spent * 1000 / max(1, len(sums))


def _random_reads(
    path: Path, sums: list[int], expected: list[int], seed: int
) -> tuple[int, list[float]]:
    """Read frames in random order with room for two in memory; return errors, milliseconds."""
    cache, _av.CACHE_BYTES = _av.CACHE_BYTES, 0
    misread, durations = 0, []
    random = np.random.default_rng(seed)
    order = [random.permutation(len(sums)) for _ in range(1 + READS // max(1, len(sums)))]
    try:
        with open_video(path) as source:
            source.read(0)
            for n in np.concatenate(order)[:READS].tolist():
                start = time.perf_counter()
                frame = source.read(n)
                durations.append((time.perf_counter() - start) * 1000)
                right = zlib.crc32(frame.tobytes()) == sums[n] and number_of(frame) == expected[n]
                misread += not right
    finally:
        _av.CACHE_BYTES = cache
    return misread, durations


def _told(source: VideoSource, case: Case) -> list[str]:
    """Return what ought to have been told and was not, or the other way round."""
    facts, wrong = source.metadata, []
    if case.colour in ("full", "limited") and facts["colour_range"] != case.colour:
        wrong.append(f"taken as {facts['colour_range']} range")
    if bool(facts["interlaced"]) != case.interlaced:
        wrong.append(f"interlaced {facts['interlaced']}")
    aspect = 1.0 if case.aspect is None else float(case.aspect)
    aspect = 1 / aspect if case.matrix is not None and case.matrix[0] == 0 else aspect
    if abs(facts["pixel_aspect"] / aspect - 1) > 0.01:
        wrong.append(f"pixel aspect {facts['pixel_aspect']:.4f}")
    asks = (case.interlaced, case.matrix is not None, case.aspect is not None)
    if len(source.notices) != sum(asks) + (case.colour == "RGB" and case.tagged):
        wrong.append("says " + "; ".join(source.notices))
    return wrong


# --- references --------------------------------------------------------------------------------


def _ffmpeg(path: Path, arguments: list[str], frame_bytes: int) -> Iterator[bytes]:
    """Yield the frames that the `ffmpeg` program puts out, shown as a player shows them."""
    command = ["ffmpeg", "-v", "fatal", "-i", str(path), "-map", "0:v:0", "-vsync", "passthrough"]
    command += [*arguments, "-f", "rawvideo", "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        while len(data := process.stdout.read(frame_bytes)) == frame_bytes:
            yield data
    finally:
        process.stdout.close()
        process.wait()


def _by_swscale(path: Path, source: VideoSource, case: Case) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield FFmpeg's own full-range grey."""
    span = "limited" if case.colour == "limited" else "full"
    flags = "accurate_rnd+full_chroma_int+bitexact"
    # its direct way from 15-bit colours to grey leaves white at 248
    first = "format=rgb24," if source.metadata["pixel_format"].startswith("rgb555") else ""
    scale = f"{first}scale=in_range={span}:out_range=full:flags={flags}:sws_dither=none,format=gray"
    for data in _ffmpeg(path, ["-vf", scale], source.height * source.width):
        yield np.frombuffer(data, np.uint8).reshape(source.height, source.width)


def _by_definition(
    path: Path, source: VideoSource, case: Case
) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the grey that the decoded samples have by definition, not rounded."""
    import av

    height, width = source.height, source.width
    form = av.VideoFormat(source.metadata["pixel_format"], width, height)
    bits = form.components[0].bits
    if form.is_rgb or form.has_palette:
        deep = bits > 8
        target = "gbrp16le" if deep else "rgb24"
        if form.name.startswith("gbrp") and deep:
            target = form.name
        for data in _ffmpeg(path, ["-pix_fmt", target], height * width * (6 if deep else 3)):
            if deep:
                planes = np.frombuffer(data, "<u2").reshape(3, height, width)[[2, 0, 1]]
                yield luma_exactly(np.moveaxis(planes, 0, 2)) * 255 / (2**bits - 1)
            else:
                yield luma_exactly(np.frombuffer(data, np.uint8).reshape(height, width, 3))
        return
    packed = {"yuyv422": "yuv422p", "uyvy422": "yuv422p", "v30xle": "yuv444p10le"}
    target = packed.get(form.name, form.name)
    target = target.removesuffix("be") + "le" if target.endswith("be") else target
    plain = av.VideoFormat(target, width, height)
    sample = 2 if bits > 8 else 1
    per_plane: dict[int, int] = {}
    for c in plain.components:
        per_plane[c.plane] = per_plane.get(c.plane, 0) + c.width * c.height * sample
    for data in _ffmpeg(path, ["-pix_fmt", target], sum(per_plane.values())):
        dtype = np.uint8 if sample == 1 else np.dtype("<u2")
        luma = np.frombuffer(data, dtype, height * width).reshape(height, width).astype(np.float64)
        if case.colour == "limited":
            unit = 2 ** (bits - 8)
            yield (luma - 16 * unit) * 255 / (219 * unit)
        else:
            yield luma * 255 / (2**bits - 1)


# --- report ------------------------------------------------------------------------------------


def table(results: list[Result]) -> str:
    """Return the results as a Markdown table."""
    rows = [
        "| clip | codec, samples | size | range | times | frames | wrong frames | time error, ms "
        "| grey: swscale max / mean | grey: definition | random ms: median / p95 | next ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        bad = " **" + "; ".join(r.wrong) + "**" if r.wrong else ""
        rows.append(
            f"| `{r.file}`{bad} | {r.codec}, {r.pixels} | {r.size} | {r.colour} | {r.rate} "
            f"| {r.frames} | {r.misread} of {r.reads} | {round(r.time_ms, 6):.2g} "
            f"| {r.swscale_max} / {r.swscale_mean:.2f} | {r.grey_max} "
            f"| {r.median_ms:.1f} / {r.p95_ms:.1f} | {r.next_ms:.1f} |"
        )
    return "\n".join(rows)


def summary(results: list[Result]) -> str:
    """Return one paragraph on all clips."""
    reads, misread = sum(r.reads for r in results), sum(r.misread for r in results)
    return (
        f"{len(results)} clips, {sum(r.frames for r in results)} frames, {reads} random reads: "
        f"{misread} wrong frames, {sum(bool(r.wrong) for r in results)} clips not as they should "
        f"be; grey at most {max(r.grey_max for r in results)} levels off the definition and "
        f"{max(r.swscale_max for r in results)} off FFmpeg's own conversion."
    )


def write_between(path: Path, what: str, text: str) -> None:
    """Replace what stands between the markers of `what` in a document."""
    begin, end = f"<!-- {what}: begin -->", f"<!-- {what}: end -->"
    document = path.read_text(encoding="utf-8")
    before, _, rest = document.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{path} has no {begin} ... {end}")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[""], help="clips with this in their names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the clips; kept, and used again")
    parser.add_argument("--real", type=Path, help="folder of real recordings to read as well")
    parser.add_argument("--output", type=Path, help="figures as JSON; those of other clips stay")
    parser.add_argument("--docs", action="store_true", help=f"write the tables into {DOCS.name}")
    options = parser.parse_args()
    kept: dict[str, Any] = {"clips": {}, "real": []}
    if options.output and options.output.exists():
        kept = json.loads(options.output.read_text())
    with tempfile.TemporaryDirectory() as folder:
        where = options.keep or Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        for case in CASES:
            if not any(part in case.file for part in options.only):
                continue
            if (why := case.missing()) is not None:
                print(f"{case.file:28} not written: {why}")
                continue
            path = where / case.file
            if not path.exists():
                case.write(path, options.seed)
            result = measure(case, path, options.seed)
            kept["clips"][case.file] = asdict(result)
            if options.output:
                options.output.write_text(json.dumps(kept, indent=1))
            if options.keep is None:
                path.unlink()
            print(
                f"{case.file:28} grey {result.swscale_max} {result.grey_max}, "
                f"{result.median_ms:.1f} / {result.p95_ms:.1f} ms: {result.wrong or 'right'}",
                flush=True,
            )
    if options.real is not None:
        files = sorted(path for path in options.real.rglob("*") if path.is_file())
        names = [str(path.relative_to(options.real)) for path in files]
        kept["real"] = [asdict(read_real(*pair)) for pair in zip(files, names, strict=True)]
        if options.output:
            options.output.write_text(json.dumps(kept, indent=1))
    real = [Real(**r) for r in kept["real"]]
    clips = kept["clips"]
    ordered = [Result(**clips[case.file]) for case in CASES if case.file in clips]
    if options.docs:
        write_between(DOCS, "reader matrix", f"{summary(ordered)}\n\n{table(ordered)}")
        if real:
            write_between(DOCS, "real recordings", real_table(real))
    print(summary(ordered))
    wrong = any(r.wrong for r in ordered) or any(r.misread or r.grey_max for r in real)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
