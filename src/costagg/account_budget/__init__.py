"""The handler of the AWS Budget of observing: it holds sampling down while the month nears its end.

`holding` is what it does, `monthly` decides, `lambda_handler` is how AWS Lambda calls it: when the budget
tells that a threshold is passed, and on a schedule.
"""
