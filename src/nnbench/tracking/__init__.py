"""Sinks: where runs are recorded besides their own folder."""
