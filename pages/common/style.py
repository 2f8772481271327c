"""The look of all pages beyond what the theme sets: the systems' colours and compact figures."""

from hybrid.presentation.charts import SYSTEM_COLORS
from hybrid.schema import SYSTEMS

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    + "".join(
        f'<rect x="{x}" y="{y}" width="8" height="{30 - y}" rx="2" fill="{color}"/>'
        for x, y, color in zip((2, 12, 22), (2, 20, 14), map(SYSTEM_COLORS.__getitem__, SYSTEMS), strict=True)
    )
    + "</svg>"
)

# By method, and whatever comes behind it: a page may show one method in several engines.
_CARDS = "\n".join(
    f'[class*="st-key-card-{system}-"] {{ border-top: 0.3rem solid {color}; }}'
    for system, color in SYSTEM_COLORS.items()
)

CSS = f"""<style>
{_CARDS}
[class*="st-key-card-"] [data-testid="stMetricValue"] {{ font-variant-numeric: tabular-nums; }}
[data-testid="stColumn"]:has([class*="st-key-card-"]) {{ min-width: 14.5rem; }}
[class*="st-key-note-"] > .stElementContainer:last-child {{ flex: 1 1 0; min-width: 0; }}
[class*="st-key-note-"] {{ border-left: 0.25rem solid #0072b2; padding: 0.5rem 0.75rem;
  background: color-mix(in srgb, #0072b2 8%, transparent); border-radius: 0.25rem; }}
[class*="st-key-note-warning"] {{ border-color: #e69f00;
  background: color-mix(in srgb, #e69f00 12%, transparent); }}
[class*="st-key-note-error"] {{ border-color: #d55e00;
  background: color-mix(in srgb, #d55e00 12%, transparent); }}
[class*="st-key-small-"] [data-testid="stText"] {{ font-size: 0.875rem; opacity: 0.75; }}
[class*="st-key-headline-"] {{ border-top: 0.3rem solid {SYSTEM_COLORS["hybrid"]}; }}
[data-testid="stColumn"]:has([class*="st-key-headline-"]) {{ min-width: 17rem; }}
.st-key-ways a {{ border: 1px solid var(--st-border-color, #dcd8cc); border-radius: 0.5rem;
  padding: 0.5rem 1rem; }}
.st-key-ways .stElementContainer:first-child a {{ background: #00735a; border-color: #00735a; }}
.st-key-ways .stElementContainer:first-child a * {{ color: #fff; }}
[data-testid="stText"] {{ overflow-wrap: anywhere; }}
[data-testid="stElementToolbarButton"]:has([aria-label="Download as CSV"]) {{ display: none; }}
[data-testid="stStatusWidget"] {{ display: none; }}
</style>"""
