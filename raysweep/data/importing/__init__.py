"""Published data sets become stores."""
