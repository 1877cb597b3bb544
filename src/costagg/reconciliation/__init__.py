"""AWS's bill against what was attributed: `running` is the command, `comparing` the comparison itself.

`cur_reader` reads an export of the Cost and Usage Report 2.0, `usage_types` says what its lines are about,
`matching` puts both sides into cells, `residuals` names what differs in a cell, `report` shows it and `store`
keeps it.
"""
