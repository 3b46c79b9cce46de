"""What a valuation is: pure functions and small classes that know nothing of stages or servers."""
