"""A sweep as a Ray job: what leaves the submitter's machine, how it is found again, how it ends."""
