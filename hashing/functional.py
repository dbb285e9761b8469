"""The functional hasher: candidates that compute the same are one, however they are written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nas.errors import ConfigError, NasError
from nas.hashing.callables import CallableHasher
from nas.hashing.digests import Digest, checked_bits, settings_digest
from nas.language import Program
from nas.study import Hashed, Hasher

if TYPE_CHECKING:
    from nas.hashing.probe.probe import NetworkProbe
    from nas.space import Architecture

_NAME = 'hashing "functional"'
_CHANNELS, _CLASSES = 3, 10  # of most data sets
_READINGS = {"zero": ("trained", "initial"), "scale": ("kept", "removed")}


class FunctionalHasher(Hasher):
    """Runs networks, programs and plain callables on a seeded probe and hashes what comes out.

    Args:
        bits: of the mantissa that count, 1 to 52. With fewer, candidates that nearly agree are joined; with
            nearly all, rounding errors keep equal ones apart.
        zero: an operation on a constant zero counts with its learnt shift ("trained") or as zero ("initial").
        scale: a positive factor that a normalisation removes is "kept" or "removed".
        channels: of the images that networks take; None for those of the data set, see `for_data`, or 3.
        classes: that networks tell apart; None for those of the data set, or 10.

    Raises:
        ConfigError: an option out of range.
    """

    name = "functional"
    in_worker = True

    def __init__(
        self,
        bits: int = 24,
        zero: str = "trained",
        scale: str = "kept",
        channels: int | None = None,
        classes: int | None = None,
    ) -> None:
        self._bits = checked_bits(bits, _NAME)
        for option, value in (("zero", zero), ("scale", scale)):
            if value not in _READINGS[option]:
                expected = " or ".join(f'"{each}"' for each in _READINGS[option])
                raise ConfigError(f"{_NAME}: {option}: expected {expected}; got {value!r}")
        for option, number in (("channels", channels), ("classes", classes)):
            if number is not None and (type(number) is not int or number < 1):
                raise ConfigError(
                    f"{_NAME}: {option}: expected a whole number of at least 1, or null for the data's; "
                    f"got {number!r}"
                )
        self._zero, self._scale = zero, scale
        self._given = channels, classes
        self._channels, self._classes = channels or _CHANNELS, classes or _CLASSES
        self._network: NetworkProbe | None = None
        self._programs: Any = None

    def for_data(self, input_shape: tuple[int, ...], classes: int) -> FunctionalHasher:
        """This hasher for networks on data of this shape, (C, H, W), except for what was given.

        Args:
            input_shape: of one example; of others than images only the classes are taken.
            classes: of the data.
        """
        channels = input_shape[0] if len(input_shape) == 3 else None
        mine = self._given
        return FunctionalHasher(self._bits, self._zero, self._scale, mine[0] or channels, mine[1] or classes)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_network": None, "_programs": None}  # what workers make for themselves

    def hash(self, architecture: Architecture) -> Hashed:
        """The digest of the behaviour; None and a reason for what has none."""
        try:
            if isinstance(architecture.network, Program):
                return self._program_probe().digest(architecture)
            if architecture.vocabulary.meaning is not None:
                return CallableHasher(bits=self._bits).hash(architecture)
            return self._labelled(self._of_network(architecture))
        except NasError as error:
            return Hashed(None, reason=str(error))

    def _labelled(self, hashed: Hashed) -> Hashed:
        """With what the network was built for in the digest's kind, unless that is the usual."""
        if hashed.digest is None or (self._channels, self._classes) == (_CHANNELS, _CLASSES):
            return hashed
        kind, colon, rest = hashed.digest.partition(":")
        return replace(hashed, digest=f"{kind}+data={self._channels}x{self._classes}{colon}{rest}")

    def _of_network(self, architecture: Architecture) -> Hashed:
        from nas.hashing.probe.probe import VERSION
        from nas.hashing.probe.values import UnhashableError

        readings = ("zero=initial" * (self._zero == "initial"), "scale=removed" * (self._scale == "removed"))
        kind = "+".join(("network", *filter(None, readings)))
        try:
            value = self._network_probe().digest(architecture.network, architecture.vocabulary)
        except UnhashableError as error:
            return Hashed(None, reason=str(error))
        except NasError:
            raise
        except Exception as error:  # a user's module or rule may raise anything
            return Hashed(None, reason=" ".join(f"{type(error).__name__}: {error}".split()))
        return Hashed(str(Digest(kind, VERSION, self._bits, value)), settings_digest(architecture.term))

    def _network_probe(self) -> NetworkProbe:
        if self._network is None:
            from nas.hashing.probe.probe import NetworkProbe

            self._network = NetworkProbe(
                bits=self._bits,
                trained=self._zero == "trained",
                scale_kept=self._scale == "kept",
                channels=self._channels,
                classes=self._classes,
            )
        return self._network

    def _program_probe(self) -> Any:
        if self._programs is None:
            from nas.hashing.programs import ProgramProbe

            self._programs = ProgramProbe(self._bits)
        return self._programs
