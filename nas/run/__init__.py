"""Runs: from the words of a command to a folder with a report; `python -m nas.run`."""
