"""A page to play with an adapter in the browser (extra `gradio`)."""
