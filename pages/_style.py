"""The look of all pages beyond what the theme sets: the systems' colours and compact figures."""

from hybrid.charts import SYSTEM_COLORS
from hybrid.schema import SYSTEMS

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    + "".join(
        f'<rect x="{x}" y="{y}" width="8" height="{30 - y}" rx="2" fill="{color}"/>'
        for x, y, color in zip((2, 12, 22), (2, 20, 14), map(SYSTEM_COLORS.__getitem__, SYSTEMS), strict=True)
    )
    + "</svg>"
)

_CARDS = "\n".join(
    f".st-key-card-{system} {{ border-top: 0.3rem solid {color}; }}"
    for system, color in SYSTEM_COLORS.items()
)

CSS = f"""<style>
{_CARDS}
[class*="st-key-card-"] [data-testid="stMetricValue"] {{ font-variant-numeric: tabular-nums; }}
[data-testid="stColumn"]:has([class*="st-key-card-"]) {{ min-width: 14.5rem; }}
[data-testid="stStatusWidget"] {{ display: none; }}
</style>"""
