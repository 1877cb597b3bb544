"""How far judge and people agree."""
