"""What the files of an evaluation are called."""

FOLDER = "evaluation"
SCORES, PARQUET, TABLE = "scores.json", "scores.parquet", "table.md"
BEFORE_AND_AFTER, SHEET = "report/before-and-after.png", "report/instructions.png"
