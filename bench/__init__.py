"""`python -m bench`: Tricorn beside its peers, driven by wrk. See README.md."""
