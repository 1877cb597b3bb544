"""What is spent, to the tenant, the model and the hour: the cost job, the billing API, reconciliation."""
