"""Real logs that nobody of this project wrote, and the verdicts that their lines prove."""
