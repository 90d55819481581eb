"""What stands in for other servers' packages in code that was written for them.

Knows: names in other servers' packages. Must not know: what is done behind the names.
"""
