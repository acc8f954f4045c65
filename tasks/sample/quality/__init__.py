"""Quality of rows by score columns: blended, ranked by domain, and weighed against the diversity of the clusters."""
