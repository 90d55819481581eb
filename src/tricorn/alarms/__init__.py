"""Alarms: which figures have a threshold, when an alarm begins and ends, how a URL is told of it.

Knows: thresholds, what is counted as numbers, time as an argument. Must not know: where figures come from,
processes, who else is told.
"""
