"""What each process may do, as data: one file a process or a kind of resource, no CDK in any of them.

`infra.stacks.identity` makes policies of the statements; `infra.matrix` reads those back from the templates.
No statement has a wildcard among its actions; each with one among its resources says why.
"""
