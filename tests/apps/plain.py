"""Nothing but what all of these applications can do, see gates.py."""

from gates import dispatch

app = dispatch({})
