"""The canonical hasher: expressions with equal normal forms are one candidate; nothing is run."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING

from nas.errors import ConfigError, NasError
from nas.hashing.digests import Digest, hex_of, settings_digest
from nas.hashing.normal_forms.networks import lasting
from nas.hashing.normal_forms.terms import VERSION, normal_form
from nas.language import to_text
from nas.study import Hashed, Hasher

if TYPE_CHECKING:
    from nas.space import Architecture


KIND = "normal-form"  # no number in it is rounded, hence 0 bits


class CanonicalHasher(Hasher):
    """The digest of the normal form of the network or program; training settings have their own.

    Args:
        drop_path: for trainings with drop-path, under which sums are dropped as they are written: sums with
            an identity are not flattened then.

    Raises:
        ConfigError: an option of another type.
    """

    name = "canonical"

    def __init__(self, drop_path: bool = False) -> None:
        if not isinstance(drop_path, bool):
            raise ConfigError(f'hashing "canonical": drop_path: expected true or false; got {drop_path!r}')
        self.drop_path = drop_path

    def hash(self, architecture: Architecture) -> Hashed:
        """The digest, or the reason why there is none."""
        try:
            form = normal_form(architecture.network, architecture.vocabulary, drop_path=self.drop_path)
        except (NasError, RecursionError) as error:
            reason = str(error) if isinstance(error, NasError) else "normal form: nested too deep"
            return Hashed(None, reason=shorten(" ".join(reason.split()), 300, placeholder=" ..."))
        value = hex_of(
            architecture.vocabulary.name,
            str(self.drop_path),
            to_text(form, lasting(architecture.vocabulary).texts),
        )
        return Hashed(str(Digest(KIND, VERSION, 0, value)), settings_digest(architecture.term))


def no_hasher() -> None:
    """No hasher at all, which switches the study's cache off."""
    return
