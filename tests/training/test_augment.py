from __future__ import annotations

import pytest
import torch

from nas.errors import EvaluationError
from nas.layers import TrainSettings
from nas.training import check_augmentation, crop_and_flip, cutout
from nas.training.augment import erase, shift

IMAGES = torch.arange(1, 10).reshape(1, 1, 3, 3)  # 1 2 3 / 4 5 6 / 7 8 9


def shifted(row: int, column: int, flip: bool, padding: int = 1) -> list[list[int]]:
    offsets = torch.tensor([[row], [column]])
    return shift(IMAGES, offsets, torch.tensor([flip]), padding)[0, 0].tolist()


@pytest.mark.parametrize(
    ("row", "column", "flip", "expected"),
    [
        (1, 1, False, [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        (1, 1, True, [[3, 2, 1], [6, 5, 4], [9, 8, 7]]),
        (0, 1, False, [[0, 0, 0], [1, 2, 3], [4, 5, 6]]),
        (2, 2, False, [[5, 6, 0], [8, 9, 0], [0, 0, 0]]),
        (1, 0, True, [[2, 1, 0], [5, 4, 0], [8, 7, 0]]),
    ],
)
def test_shift_gives_the_window_derived_by_hand(
    row: int, column: int, flip: bool, expected: list[list[int]]
) -> None:
    assert shifted(row, column, flip) == expected


def test_shift_treats_each_image_and_all_its_channels_alike() -> None:
    images = torch.stack([IMAGES[0, 0], 10 * IMAGES[0, 0]])[None].repeat(2, 1, 1, 1)  # (2, 2, 3, 3)
    offsets = torch.tensor([[1, 2], [1, 1]])
    moved = shift(images, offsets, torch.tensor([True, False]), padding=1)
    assert moved[0, 0, 0].tolist() == [3, 2, 1]
    assert moved[0, 1, 0].tolist() == [30, 20, 10]
    assert moved[1, 1].tolist() == [[40, 50, 60], [70, 80, 90], [0, 0, 0]]


def test_crop_and_flip_draws_every_place_and_both_sides() -> None:
    settings = TrainSettings(crop_padding=1, flip=True)
    possible = {
        str(shifted(row, column, flip)) for row in range(3) for column in range(3) for flip in (False, True)
    }
    drawn = crop_and_flip(IMAGES.repeat(400, 1, 1, 1), settings, torch.Generator().manual_seed(0))
    assert {str(image[0].tolist()) for image in drawn} == possible


def test_crop_and_flip_without_either_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert crop_and_flip(IMAGES, TrainSettings(), generator) is IMAGES
    assert cutout(IMAGES, 0, generator) is IMAGES
    assert torch.equal(generator.get_state(), before)


def test_flip_alone_keeps_images_in_place() -> None:
    drawn = crop_and_flip(
        IMAGES.repeat(50, 1, 1, 1), TrainSettings(flip=True), torch.Generator().manual_seed(0)
    )
    assert {str(image[0].tolist()) for image in drawn} == {str(shifted(1, 1, flip)) for flip in (False, True)}


def test_erase_clears_the_square_derived_by_hand() -> None:
    images = torch.ones(3, 1, 4, 4)
    erased = erase(images, torch.tensor([2, 0, 1]), torch.tensor([2, 0, 3]), side=2)
    # rows and columns from centre - 1 on, two of each, cut off at the border
    assert erased[0, 0].tolist() == [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    assert erased[1, 0].tolist() == [[0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert erased[2, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert images.min() == 1


def test_cutout_draws_every_centre_and_clears_all_channels() -> None:
    drawn = cutout(torch.ones(300, 2, 3, 3), 1, torch.Generator().manual_seed(0))
    assert torch.equal(drawn[:, 0], drawn[:, 1])
    assert {int((image[0] == 0).flatten().nonzero()) for image in drawn} == set(range(9))


@pytest.mark.parametrize("name", ["crop_padding", "cutout"])
def test_what_can_blank_out_a_whole_image_is_refused(name: str) -> None:
    check_augmentation(TrainSettings().with_overrides({name: 7}), (1, 9, 8))
    expected = rf'^training setting "{name}": expected less than the 8 pixels .*, got 8, .* to 1 \('
    with pytest.raises(EvaluationError, match=expected):
        check_augmentation(TrainSettings().with_overrides({name: 8}), (1, 9, 8))
    ones, draws = torch.ones(4000, 1, 8, 8), torch.Generator().manual_seed(0)
    for pixels, blank in ((7, False), (8, True)):
        padding, side = (pixels, 0) if name == "crop_padding" else (0, pixels)
        images = cutout(crop_and_flip(ones, TrainSettings(crop_padding=padding), draws), side, draws)
        assert bool((images.amax((1, 2, 3)) == 0).any()) == blank
