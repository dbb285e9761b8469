from __future__ import annotations

import pytest
import torch

from nas.errors import CompileError
from nas.training import forked_seed
from nas.training.augment import autoaugment

CPU = torch.device("cpu")


def images(count: int = 32, channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, channels, 16, 16), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )


def drawn(seed: int = 5, policy: str = "cifar10", channels: int = 3) -> torch.Tensor:
    return autoaugment(images(channels=channels), policy, torch.Generator().manual_seed(seed))


def test_none_is_the_same_tensor() -> None:
    given = images()
    assert autoaugment(given, "none", torch.Generator()) is given


@pytest.mark.parametrize("policy", ["cifar10", "imagenet", "svhn"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_generator_determines_the_images(policy: str, channels: int) -> None:
    once, again = drawn(policy=policy, channels=channels), drawn(policy=policy, channels=channels)
    assert torch.equal(once, again)
    assert (once.dtype, once.shape) == (torch.uint8, (32, channels, 16, 16))
    assert not torch.equal(once, drawn(seed=6, policy=policy, channels=channels))


def test_the_global_state_is_neither_read_nor_changed() -> None:
    with forked_seed(1, CPU):
        before = torch.get_rng_state()
        once = drawn()
        assert torch.equal(torch.get_rng_state(), before)
    with forked_seed(2, CPU):
        assert torch.equal(drawn(), once)


def test_a_batch_draws_from_where_the_last_one_left_the_generator() -> None:
    generator = torch.Generator().manual_seed(5)
    first, second = (autoaugment(images(), "cifar10", generator) for _ in range(2))
    assert not torch.equal(first, second)


def test_each_image_draws_a_policy_of_its_own() -> None:
    """Sixteen copies of one image: a policy for all of them would give one or two results."""
    copies = images(1).expand(64, 3, 16, 16)
    out = autoaugment(copies, "cifar10", torch.Generator().manual_seed(0))
    assert len({image.numpy().tobytes() for image in out}) > 16


def test_images_of_other_channels_are_refused_in_one_line() -> None:
    with pytest.raises(
        CompileError, match=r"^autoaugment: expected images of 1 or 3 channels, got 2; set it"
    ):
        autoaugment(images(channels=2), "cifar10", torch.Generator())
