"""The billing API: costs of tenants and of the platform, over HTTP."""
