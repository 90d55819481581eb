"""The suite's servers while the system calls of their transport misbehave by a plan made from a seed."""
