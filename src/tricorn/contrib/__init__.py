"""What ties Tricorn to a framework, and is imported only by who uses that."""
