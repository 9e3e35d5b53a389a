"""Where processes start, how they are stopped, and what they tell the one that started them."""
