"""What all large figures share: margins that fit a phone, a legend below, transparent ground."""

import plotly.graph_objects as go

CLEAR = "rgba(0,0,0,0)"
LEGEND = {
    "orientation": "h", "yanchor": "top", "y": -0.22, "xanchor": "left", "x": 0, "title": None,
    "itemsizing": "constant",
}  # fmt: skip
MARGIN = {"l": 8, "r": 8, "t": 16, "b": 8}


def framed(figure: go.Figure, x_title: str, y_title: str, height: int = 420) -> go.Figure:
    """The figure itself, laid out. Titles are our own words, with units; not from elsewhere."""
    figure.update_layout(
        height=height, margin=MARGIN, legend=LEGEND, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR,
        hovermode="closest", hoverlabel={"align": "left"}, dragmode=False,
    )  # fmt: skip
    figure.update_xaxes(title=x_title, automargin=True)
    figure.update_yaxes(title=y_title, automargin=True)
    return figure
