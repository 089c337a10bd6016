"""What the code says of itself, as Markdown: a function a part, by the part's name in docs/generate.py."""
