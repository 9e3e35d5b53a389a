"""Which measure tells what was taken, and which rewards what came along: toy pictures know."""
