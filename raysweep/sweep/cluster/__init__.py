"""The Ray cluster of a sweep: started or joined, checked and watched."""
