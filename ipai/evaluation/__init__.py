"""Worth of a trained adapter: pictures for held-out samples, scores, tables, figures, the report (paper sec. 4)."""
