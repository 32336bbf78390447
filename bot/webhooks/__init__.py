"""Signed, retried, replayable notices to addresses of other programs."""
