class Asked:
    """What a request says of the representation that it wants: see asked.pxd."""
