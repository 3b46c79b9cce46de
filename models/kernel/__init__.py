"""Decision trees as flat arrays, and the compiled walk through them."""
