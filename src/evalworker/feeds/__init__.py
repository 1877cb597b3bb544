"""Where records come from: a Kinesis consumer or an AWS Lambda event. Neither knows what a score is."""
