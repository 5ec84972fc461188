"""Tables, figures and pages made from what the other parts computed; nothing is computed anew.

Importing this package is cheap; its modules load matplotlib where they draw.
"""

from __future__ import annotations
