"""What Django finds commands by."""
