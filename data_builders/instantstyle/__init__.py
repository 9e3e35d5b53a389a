"""Task `style`: style images, and pictures of other prompts that InstantStyle drew in their style."""
