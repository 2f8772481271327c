"""Drawing: axes and styles that all figures share, and the figures that several callers draw."""

from dataclasses import dataclass

import plotly.graph_objects as go

from hybrid.store.tables import Table


@dataclass(frozen=True)
class Drawing:
    """A figure with its sentence and its table.

    says: sentences with numbers, units and n; plain text that may hold names from elsewhere.
    """

    figure: go.Figure
    says: str
    table: Table
