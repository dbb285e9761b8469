"""The rule for values of pixels, and the reading of image files.

Every image becomes uint8, from black, 0, to white, 255. Values of uint8 are not changed. Other values v
become round(255 (v - black) / (white - black)), where black and white are those of the type: 0 and 65535 of
uint16, 0 and 1 of floats, false and true; or those of the options `pixel_min` and `pixel_max`, for all types.
Values are not clipped: those outside are refused, and so are those that use less than an eighth of their
type's range, since few of the 256 levels would be left.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import EvaluationError, describe_error, one_line, refusal

_USED = 8  # the largest value is at least white / _USED, unless the range is stated
_CHUNK = 256  # images that are scaled at a time
_WHITE = {"u2": 65535.0, "b1": 1.0, "f2": 1.0, "f4": 1.0, "f8": 1.0}  # by kind and bytes of a type


@dataclass(frozen=True, slots=True)
class PixelRange:
    """Values of black and white; if both are 0, those of each type."""

    black: float = 0.0
    white: float = 0.0

    @property
    def stated(self) -> bool:
        return (self.black, self.white) != (0.0, 0.0)


def to_bytes(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """uint8 of the same shape: round(255 (v - black) / (white - black)) of values from black to white."""
    scaled = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK].astype(np.float64)
        scaled[start : start + _CHUNK] = np.rint(255.0 * ((part - black) / (white - black)))
    return scaled


class Scaler:
    """Converts arrays of pixels to uint8 by the module's rule, and notes the conversions at the end.

    Args:
        where: the beginning of its messages and notes, e.g. "data photos".
        limits: black and white.
    """

    def __init__(self, where: str, limits: PixelRange) -> None:
        self._where = where
        self._limits = limits
        self._outside: dict[str, str] = {}  # type -> its first images with values beyond black or white
        self._bounds_used: set[tuple[float, float] | None] = set()  # None: unchanged 8-bit values
        self._extremes: dict[str, tuple[float, float]] = {}  # type -> least and greatest value so far

    def __call__(self, name: str, array: np.ndarray) -> np.ndarray:
        """uint8 of the same shape; zeros instead of values that `finish` will refuse.

        Raises:
            EvaluationError: a type without a range, NaN or infinity, in one line.
        """
        kind = array.dtype.str[1:]
        if kind == "u1" and not self._limits.stated:
            self._bounds_used.add(None)
            return array
        if not (array.dtype.kind in "iuf" or kind == "b1") or not (self._limits.stated or kind in _WHITE):
            expected, got = f"{name} of uint8, uint16, bool or floats from 0 to 1", f"{array.dtype}"
            remedy = "convert it first"
            if array.dtype.kind in "iu":
                low, high = int(array.min()), int(array.max())
                got, remedy = f"{got} from {low} to {high}", _stating(low, high)
            raise EvaluationError(refusal(self._where, expected, got, remedy))
        low, high = float(array.min()), float(array.max())
        if not np.isfinite([low, high]).all():
            got = f"{'NaN' if np.isnan(array).any() else 'infinity'} in {name}"
            raise EvaluationError(refusal(self._where, "finite values of pixels", got, "replace it"))
        before = self._extremes.get(array.dtype.name, (low, high))
        self._extremes[array.dtype.name] = min(low, before[0]), max(high, before[1])
        black, white = self._bounds(kind)
        self._bounds_used.add((black, white))
        if low < black or high > white:
            self._outside.setdefault(array.dtype.name, name)
            return np.zeros(array.shape, np.uint8)
        return to_bytes(array, black, white)

    def _bounds(self, kind: str) -> tuple[float, float]:
        return (self._limits.black, self._limits.white) if self._limits.stated else (0.0, _WHITE[kind])

    @property
    def scaled_from(self) -> tuple[float, float] | None:
        """Black and white of all images so far; None if values were not scaled or from several ranges."""
        return next(iter(self._bounds_used)) if len(self._bounds_used) == 1 else None

    def finish(self) -> None:
        """Notes, as warnings, which types were scaled from which range.

        Raises:
            EvaluationError: values outside of their range, or too few levels of it, in one line.
        """
        for name, (low, high) in self._extremes.items():
            black, white = self._bounds(np.dtype(name).str[1:])
            if name in self._outside:
                raise EvaluationError(
                    refusal(
                        self._where,
                        f"values of {name} from {black:.9g} to {white:.9g}",
                        f"{low:.9g} to {high:.9g}, first in {self._outside[name]}",
                        _stating(low, high),
                    )
                )
            if not self._limits.stated and low < high < white / _USED:
                expected = f"values of {name} that use the range from 0 to {white:.9g}"
                levels = int(255 * high / white) + 1
                got = f"at most {high:.9g}, of which {levels} of 256 levels would be left"
                remedy = f"set evaluator.pixel_max={high:.17g} or another white, {white:.9g} if it is right"
                raise EvaluationError(refusal(self._where, expected, got, remedy))
            if name != "bool" and (low, high) != (0.0, 0.0):
                note(
                    f"{self._where}: pixels of {name}, with values from {low:.9g} to {high:.9g}, are scaled "
                    f"from {black:.9g}..{white:.9g} to 0..255"
                )


def _stating(low: float, high: float) -> str:
    """The remedy: a range that contains the values."""
    low, high = min(low, 0.0), (high if high > max(low, 0.0) else 0.0 if low < 0 else 1.0)
    return (
        "set evaluator.pixel_min and evaluator.pixel_max to the values of black and white, such as "
        f"evaluator.pixel_min={low:.17g} evaluator.pixel_max={high:.17g}"
    )


def note(text: str) -> None:
    """Warns the user in one line of something that is no error."""
    warnings.warn(one_line(text, 600), stacklevel=3)


class ImageReader:
    """Reads image files as arrays, and counts their conversions.

    An image is rotated by its EXIF orientation. Grey images stay grey. Transparent pixels are laid over
    white. Of several images in one file the first is read.

    Args:
        where: the beginning of its notes.
        limits: black and white.
    """

    def __init__(self, where: str, limits: PixelRange) -> None:
        self._where = where
        self._limits = limits
        self._scaler = Scaler(where, limits)
        self._events: Counter[str] = Counter()
        self._first: dict[str, Path] = {}
        self._deepest = 0  # greatest value among 16-bit colour images, of which the upper 8 bits are read

    def __call__(self, file: Path, image_size: int) -> np.ndarray:
        """(H, W) uint8 of a grey image, (H, W, 3) of any other.

        Args:
            file: the image.
            image_size: pixels, height and width to scale to; 0: not scaled.

        Raises:
            EvaluationError: it cannot be read, is larger than Pillow admits, or `Scaler` refuses it.
        """
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as of damaged EXIF data, without the file's name
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                array = self._array(file)
        except EvaluationError:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            expected, got = f"an image of at most {Image.MAX_IMAGE_PIXELS} pixels", f"a larger one ({error})"
            raise EvaluationError(
                refusal(f"data {file}", expected, got, "scale it down or remove it")
            ) from error
        except Exception as error:  # Pillow's parsers raise many types
            got = f"a file that cannot be read ({describe_error(error)})"
            message = refusal(f"data {file}", "an image", got, "remove or replace it")
            raise EvaluationError(message) from error
        array = self._scaler(str(file), array)
        if image_size and array.shape[:2] != (image_size, image_size):
            image = Image.fromarray(array).resize((image_size, image_size), Image.Resampling.BILINEAR)
            array = np.asarray(image)
        return array

    @property
    def scaled_from(self) -> tuple[float, float] | None:
        """As of `Scaler`."""
        return self._scaler.scaled_from

    def finish(self) -> None:
        """Notes conversions of images, as warnings; raises EvaluationError as `Scaler.finish` does."""
        self._scaler.finish()
        if self._events[_DEEP] and self._deepest < 256 // _USED:
            expected = "16-bit colour that uses the range from 0 to 65535"
            got = f"at most {256 * self._deepest + 255}"
            remedy = "convert the images to 8 bits, with the range that they use"
            raise EvaluationError(refusal(f"data {self._first[_DEEP]}", expected, got, remedy))
        for event, count in self._events.items():
            files = "1 file" if count == 1 else f"{count} files"
            note(f"{self._where}: {event}: {files}, e.g. {self._first[event].name}")

    def _happened(self, event: str, file: Path) -> None:
        self._events[event] += 1
        self._first.setdefault(event, file)

    def _array(self, file: Path) -> np.ndarray:
        """(H, W) or (H, W, 3) of the file's type."""
        from PIL import Image, ImageOps

        with Image.open(file) as opened:
            raw = _raw_mode(opened)
            several = getattr(opened, "n_frames", 1) > 1
            if several and opened.format != "MPO":  # which has a photograph and its preview
                self._happened("several images in one file, of which the first is read", file)
            kept = opened.format, "transparency" in opened.info
            image = ImageOps.exif_transpose(opened)
            image.load()
        if image.mode.startswith("I;16"):
            return np.asarray(image).astype(np.uint16, copy=False)
        if image.mode == "I":  # 32 bits, except in formats that have 16 at most
            array = np.asarray(image)
            return array.astype(np.uint16) if kept[0] in ("PNG", "PPM") else array
        if image.mode == "F":
            return np.asarray(image)
        transparent = kept[1] or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
        grey = image.mode in ("1", "L", "LA", "La") or raw.startswith("LA")
        if transparent:
            array = self._over_white(file, image)
        elif grey:
            array = np.asarray(image.convert("L"))
        else:
            array = np.asarray(image.convert("RGB"))
        if array.ndim == 3 and (grey or image.mode in ("P", "PA")) and (array == array[:, :, :1]).all():
            array = array[:, :, 0]
        if raw:
            self._note_deep(file, array)
        return array

    def _note_deep(self, file: Path, array: np.ndarray) -> None:
        if self._limits.stated:
            expected = "8-bit colour with evaluator.pixel_max"
            got, remedy = "16-bit colour, of which only the upper 8 bits are read", "convert it to 8 bits"
            raise EvaluationError(refusal(f"data {file}", expected, got, remedy))
        self._happened(_DEEP, file)
        self._deepest = max(self._deepest, int(array.max()))

    def _over_white(self, file: Path, image: Any) -> np.ndarray:
        """(H, W, 3) uint8: the image laid over white."""
        from PIL import Image

        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            self._happened("transparent pixels, where white shows through", file)
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.asarray(image.convert("RGB"))


_DEEP = "16-bit colour, of which the upper 8 bits are read"


def _raw_mode(image: Any) -> str:
    """How the file packs its pixels, e.g. "RGB;16B"; Pillow forgets it when it loads them."""
    packed = " ".join(str(tile[3]) for tile in image.tile[:1])
    found = re.search(r"(LA?|RGB[AaX]?|CMYK);16", packed)
    if found:
        return found[0]
    return "RGB;16" if image.format == "PPM" and re.search(r"'RGB', 65535", packed) else ""
