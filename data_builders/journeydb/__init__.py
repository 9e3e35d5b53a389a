"""Task `copy` from JourneyDB: a Midjourney picture is both condition and target, its prompt the prompt."""
