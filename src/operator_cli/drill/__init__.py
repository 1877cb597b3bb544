"""`make drill`: the whole platform on a laptop, one thing after another broken, and what each alarm did."""
