"""Dashboards for Amazon Managed Grafana, drawn from the table of panels, and what puts them there."""
