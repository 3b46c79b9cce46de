"""What must hold of a market's sales before anything is learned from them."""
