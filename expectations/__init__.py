"""What a good dataset is: Great Expectations over the small profile tables."""
