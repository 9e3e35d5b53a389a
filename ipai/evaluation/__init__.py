"""What a trained adapter is worth: pictures for held-out samples, scores, tables, figures, the report (paper sec. 4)."""
