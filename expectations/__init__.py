"""What a good dataset is: expectations over the small tables of a profile, evaluated by Great Expectations."""
