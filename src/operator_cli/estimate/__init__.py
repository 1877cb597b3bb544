"""`llm-platform estimate`: what a platform of some size takes and costs, and what of it is full first.

From the top: `command` takes the options, `running` reads this environment, `estimating` puts an estimate
together, `view` shows it. What goes in is in `workload` (what is asked of the platform), `figures` (what was
measured or is assumed) and `quotas`; what comes out in `needs`, `serving`, `observing`, `inference`, `limits`
and `levers`.
"""
