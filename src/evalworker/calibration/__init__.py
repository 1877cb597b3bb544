"""Calibration: how far a judge agrees with people, and whether that is enough to release it.

The story: `labels` reads what people said, `judging` asks the judge (or what it said before), `evidence` sets
the two side by side, `statistics` and `bootstrap` measure, `report` tells it per dimension, `gate` decides,
`record` is what remains. All but `judging` are pure.
"""
