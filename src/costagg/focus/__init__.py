"""Costs in the FinOps Open Cost and Usage Specification (FOCUS) 1.3, dataset Cost and Usage.

`export` writes a file. `columns` has the columns and their sources in the specification, `rows` what each
holds, `services` the names of AWS's services, `files` the two formats. docs/focus.md tells it to those who
read the files.
"""

from costagg.focus.exporting import ExportSummary, UnpricedLines, export

__all__ = ["ExportSummary", "UnpricedLines", "export"]
