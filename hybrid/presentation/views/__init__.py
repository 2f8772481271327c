"""What pages and reports show of stored runs: plain rows, computed once and kept.

    store, compare, predict  ->  views  ->  charts, tables, pages

A page reads one of these and draws it; nothing here draws, times or generates.
"""
