"""Values of pixels: one rule for arrays and for image files, and nothing cut off."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.errors import EvaluationError
from nas.training.pixels import ImageReader, PixelRange, Scaler

DEEP = np.linspace(0, 65535, 20).round().astype(np.uint16).reshape(4, 5)


def scaled(array: np.ndarray, limits: PixelRange = PixelRange()) -> np.ndarray:  # noqa: B008
    scaler = Scaler("data x", limits)
    found = scaler("images", array)
    scaler.finish()
    return found


def read(file: Path, limits: PixelRange = PixelRange(), size: int = 0) -> np.ndarray:  # noqa: B008
    reader = ImageReader("data x", limits)
    found = reader(file, size)
    reader.finish()
    return found


def test_uint8_stays_as_it_is_and_without_a_note() -> None:
    assert scaled(np.array([[0, 16, 255]], np.uint8)).tolist() == [[0, 16, 255]]
    assert scaled(np.array([[False, True]])).tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("values", "kind", "limits", "wanted", "of"),
    [
        ([0, 2000, 40000, 65535], "uint16", (0, 0), [0, 8, 156, 255], "uint16, .* are scaled from 0..65535"),
        ([0, 2000, 40000, 65535], ">u2", (0, 0), [0, 8, 156, 255], "uint16, .* are scaled from 0..65535"),
        ([0, 0.1, 0.5, 1], "float32", (0, 0), [0, 26, 128, 255], "float32, .* are scaled from 0..1"),
        ([0, 0.25, 0.5, 1], "float16", (0, 0), [0, 64, 128, 255], "float16, .* are scaled from 0..1"),
        ([0, 100, 254.6, 255], "float64", (0, 255), [0, 100, 255, 255], "float64, .* are scaled from 0..255"),
        ([-1, 0, 0.5, 1], "float64", (-1, 1), [0, 128, 191, 255], "float64, .* are scaled from -1..1"),
        (
            [-1024, 0, 1000, 3071],
            "int16",
            (-1024, 3071),
            [0, 64, 126, 255],
            "int16, .* are scaled from -1024..3071",
        ),
        ([0, 7, 16, 8], "uint8", (0, 16), [0, 112, 255, 128], "uint8, .* are scaled from 0..16"),
        ([0, 3, 100, 255], "int64", (0, 255), [0, 3, 100, 255], "int64, .* are scaled from 0..255"),
    ],
)
def test_other_types_are_scaled_from_their_range_or_a_stated_one(
    values: list, kind: str, limits: tuple[float, float], wanted: list, of: str
) -> None:
    with pytest.warns(UserWarning, match=f"^data x: pixels of {of} to 0..255$"):
        found = scaled(np.array([values], kind), PixelRange(*limits))
    assert found.dtype == np.uint8
    assert np.abs(found[0].astype(int) - wanted).max() <= (values == [-1, 0, 0.5, 1])  # halves round to even
    assert found.shape == (1, len(values))


@pytest.mark.parametrize(
    ("array", "limits", "message"),
    [
        (np.array([[0.0, 254.5]]), (0, 0), r"from 0 to 1, got 0 to 254.5, .* evaluator.pixel_max=254.5$"),
        (np.array([[-1.0, 1.0]]), (0, 0), r"from 0 to 1, .* evaluator.pixel_min=-1 evaluator.pixel_max=1$"),
        (np.array([[-3.0, -2.0]]), (0, 0), r"evaluator.pixel_min=-3 evaluator.pixel_max=0$"),
        (np.array([[0, 5000]], np.uint16), (0, 4095), r"from 0 to 4095, got 0 to 5000"),
        (
            np.array([[0, 4095]], np.uint16),
            (0, 0),
            r"use the range from 0 to 65535, got at most 4095, of which 16 of",
        ),
        (
            np.array([[0, 0.01]]),
            (0, 0),
            r"use the range from 0 to 1, .* set evaluator.pixel_max=0.01 or .* 1 if",
        ),
        (
            np.array([[0, 200]]),
            (0, 0),
            r"got int64 from 0 to 200; .*evaluator.pixel_min=0 evaluator.pixel_max=200$",
        ),
        (np.array([[0, np.nan]]), (0, 0), "finite values of pixels, got NaN in images"),
        (np.array([[0, np.inf]]), (0, 255), "finite values of pixels, got infinity in images"),
        (np.array([["a", "b"]]), (0, 0), "got <U1; convert it first"),
        (np.array([[1j]]), (0, 255), "got complex128; convert it first"),
        (np.zeros((1, 2), [("a", "u1")]), (0, 0), "; convert it first"),
    ],
)
def test_what_would_be_cut_off_or_lost_is_refused(array: np.ndarray, limits: Any, message: str) -> None:
    with pytest.raises(EvaluationError, match=f"^data x: expected .*{message}") as caught:
        scaled(array, PixelRange(*limits))
    assert "\n" not in str(caught.value)


def test_the_range_that_is_proposed_holds_all_images() -> None:
    scaler = Scaler("data x", PixelRange())
    for values in ([0.0, 30.0], [-2.0, 255.0], [1.0, 3.0]):
        scaler("a", np.array([values]))
    with pytest.raises(
        EvaluationError, match=r"first in a; .*evaluator.pixel_min=-2 evaluator.pixel_max=255$"
    ):
        scaler.finish()


def png(colour: int, depth: int, data: bytes, size: tuple[int, int] = (2, 2)) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
def test_sixteen_bits_of_grey_keep_their_order(tmp_path: Path, name: str) -> None:
    Image.fromarray(DEEP).save(tmp_path / name)
    with pytest.warns(UserWarning, match="pixels of uint16, .* are scaled from 0..65535"):
        found = read(tmp_path / name)
    assert np.array_equal(found, np.rint(DEEP / 257))


def test_floats_and_32_bits_of_a_tiff(tmp_path: Path) -> None:
    unit = (DEEP / 65535).astype(np.float32)
    Image.fromarray(unit).save(tmp_path / "unit.tif")
    with pytest.warns(UserWarning, match="pixels of float32, .* are scaled from 0..1"):
        assert np.array_equal(read(tmp_path / "unit.tif"), np.rint(255 * unit.astype(float)))
    Image.fromarray(DEEP.astype(np.int32) * 100).save(tmp_path / "large.tif")
    with pytest.raises(EvaluationError, match=r"got int32 from 0 to 6553500; set evaluator.pixel_min"):
        read(tmp_path / "large.tif")
    with pytest.warns(UserWarning, match="pixels of int32, .* are scaled from 0..6553500"):
        found = read(tmp_path / "large.tif", PixelRange(0, 6553500))
    assert np.array_equal(found, np.rint(DEEP / 257))
    unit[0, 0] = np.nan
    Image.fromarray(unit).save(tmp_path / "nan.tif")
    with pytest.raises(EvaluationError, match=r"finite values of pixels, got NaN in .*nan.tif"):
        read(tmp_path / "nan.tif")


@pytest.mark.parametrize(
    ("content", "name", "shape"),
    [
        (png(2, 16, (b"\0" + struct.pack(">3H", 40000, 1000, 200) * 2) * 2), "a.png", (2, 2, 3)),
        (png(4, 16, (b"\0" + struct.pack(">2H", 40000, 65535) * 2) * 2), "a.png", (2, 2)),
        (b"P6 2 2 65535\n" + struct.pack(">3H", 40000, 1000, 200) * 4, "a.ppm", (2, 2, 3)),
    ],
    ids=["rgb", "grey and alpha", "ppm"],
)
def test_sixteen_bits_of_colour_are_read_with_a_note(
    tmp_path: Path, content: bytes, name: str, shape: tuple[int, ...]
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.warns(
        UserWarning, match=f"16-bit colour, of which the upper 8 bits are read: 1 file, e.g. {name}$"
    ):
        found = read(tmp_path / name)
    assert found.shape == shape
    assert found.flat[0] == 156
    with pytest.raises(EvaluationError, match=r"expected 8-bit colour with evaluator.pixel_max, got 16-bit"):
        read(tmp_path / name, PixelRange(0, 65535))


def test_sixteen_bits_of_colour_that_hold_eight_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(2, 16, (b"\0" + struct.pack(">3H", 255, 100, 20) * 2) * 2))
    with pytest.raises(
        EvaluationError, match=r"a.png: expected 16-bit colour that uses the range .* at most 255"
    ):
        read(tmp_path / "a.png")


def palette(grey: bool) -> Image.Image:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 10, 10, 200, 200, 200] if grey else [10, 20, 30, 200, 100, 0])
    image.putpixel((1, 0), 1)
    return image


def test_each_mode_gives_grey_or_colour(tmp_path: Path) -> None:
    files: dict[str, tuple[Image.Image, Any]] = {
        "grey.png": (Image.fromarray(np.array([[3, 200]], np.uint8)), [[3, 200]]),
        "bits.png": (Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"), [[0, 255]]),
        "opaque.png": (Image.new("LA", (1, 1), (77, 255)), [[77]]),
        "colour.bmp": (Image.new("RGB", (1, 1), (1, 2, 3)), [[[1, 2, 3]]]),
        "colour.png": (Image.new("RGBA", (1, 1), (1, 2, 3, 255)), [[[1, 2, 3]]]),
        "grey_palette.png": (palette(grey=True), [[10, 200]]),
        "palette.png": (palette(grey=False), [[[10, 20, 30], [200, 100, 0]]]),
        "ink.tif": (Image.new("CMYK", (1, 1), (255, 0, 0, 0)), [[[0, 255, 255]]]),
    }
    for name, (image, wanted) in files.items():
        image.save(tmp_path / name)
        assert read(tmp_path / name).tolist() == wanted, name


@pytest.mark.parametrize(
    ("image", "options", "wanted"),
    [
        (Image.new("RGBA", (1, 1), (0, 0, 0, 0)), {}, [[[255, 255, 255]]]),
        (Image.new("LA", (1, 1), (0, 128)), {}, [[127]]),
        (palette(grey=False), {"transparency": 0}, [[[255, 255, 255], [200, 100, 0]]]),
        (palette(grey=False), {"transparency": b"\x00\xff"}, [[[255, 255, 255], [200, 100, 0]]]),
        (Image.new("RGB", (1, 1), (1, 2, 3)), {"transparency": (1, 2, 3)}, [[[255, 255, 255]]]),
        (Image.new("L", (1, 1), 9), {"transparency": 9}, [[255]]),
    ],
    ids=["RGBA", "LA", "P", "P of bytes", "RGB", "L"],
)
def test_white_shows_through_transparent_pixels(
    tmp_path: Path, image: Any, options: dict, wanted: list
) -> None:
    image.save(tmp_path / "a.png", **options)
    with pytest.warns(
        UserWarning, match=r"transparent pixels, where white shows through: 1 file, e.g. a.png$"
    ):
        assert read(tmp_path / "a.png").tolist() == wanted


def test_an_image_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    Image.fromarray(np.array([[0, 100, 200]], np.uint8)).save(tmp_path / "a.png", exif=exif)
    assert read(tmp_path / "a.png").tolist() == [[0], [100], [200]]


def test_of_several_images_in_a_file_the_first_is_read_with_a_note(tmp_path: Path) -> None:
    pages = [Image.new("L", (2, 2), value) for value in (5, 200)]
    for name in ("a.tif", "a.webp", "a.png"):
        pages[0].convert("RGB").save(
            tmp_path / name, save_all=True, append_images=[p.convert("RGB") for p in pages[1:]]
        )
        with pytest.warns(
            UserWarning, match=f"several images in one file, .* first is read: 1 file, e.g. {name}$"
        ):
            assert np.abs(read(tmp_path / name).astype(int) - 5).max() <= 1


def truncated(format_: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 30, 3)).astype(np.uint8)).save(
        stream, format_
    )
    return stream.getvalue()[: len(stream.getvalue()) // 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"no image", "cannot be read"),
        (truncated("PNG"), "cannot be read"),
        (truncated("JPEG"), "cannot be read"),
        (truncated("BMP"), "cannot be read"),
        (
            png(0, 8, b"", (20000, 20000)),
            "at most 89478485 pixels, got .*400000000.* scale it down or remove it$",
        ),
        (
            png(0, 8, b"", (12000, 12000)),
            "at most 89478485 pixels, got .*144000000.* scale it down or remove it$",
        ),
        (png(0, 8, b"", (0, 5)), "cannot be read"),
    ],
    ids=["empty", "text", "png", "jpeg", "bmp", "bomb", "half a bomb", "none"],
)
def test_a_damaged_or_oversized_image_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(
        EvaluationError, match=rf"^data {tmp_path}/a.png: expected an image.*{message}"
    ) as caught:
        read(tmp_path / "a.png")
    assert "\n" not in str(caught.value)


def test_images_are_scaled_to_a_side_after_their_values(tmp_path: Path) -> None:
    Image.fromarray(DEEP).save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="uint16"):
        found = read(tmp_path / "a.png", size=8)
    assert (found.shape, found.dtype) == ((8, 8), np.uint8)
    assert found.min() < 5
    assert found.max() > 250
