"""Where results go: DynamoDB, Parquet in S3, and a place for records that cannot be read."""
