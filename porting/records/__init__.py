"""What recorded results tell: since when, what differs, what changed. Renders nothing."""
