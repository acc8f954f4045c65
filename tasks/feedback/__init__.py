"""What training made of versions: scores that trainers report, and the rounds of trials that they belong to."""
