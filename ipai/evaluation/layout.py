"""What the files of an evaluation are called."""

FOLDER = "evaluation"
SCORES, PARQUET, TABLE = "scores.json", "scores.parquet", "table.md"
BEFORE_AND_AFTER = "report/before-and-after.png"
