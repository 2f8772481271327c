"""What several pages share: notes, figures, tables, caches, and work in the background."""
