"""Tables, figures and pages from results of the other packages, without recomputing them.

Importing this package is cheap; its modules load matplotlib when they draw.
"""

from __future__ import annotations
