from __future__ import annotations

import signal

import pytest

from nas.signals import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_stops_and_the_second_raises(number):
    stops: list[None] = []
    before = signal.getsignal(number)
    with stop_on_signals(lambda: stops.append(None)):
        signal.raise_signal(number)
        assert stops == [None]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before
