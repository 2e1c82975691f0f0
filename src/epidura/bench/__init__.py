"""Peers to measure against, driven live: other programs that solve what Epidura solves. Nothing else imports this room."""
