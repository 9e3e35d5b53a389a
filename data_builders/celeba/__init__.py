"""Task `face` from CelebA or CelebA-HQ: two photographs of one person, half of the conditions zoomed in on the face."""
