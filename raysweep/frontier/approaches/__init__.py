"""The three approaches of 2203.15556: each turns points and options into a `Fit`."""
