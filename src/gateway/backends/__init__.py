"""Carriers: signing, connection and envelope. A backend is a carrier with a dialect inside it."""
