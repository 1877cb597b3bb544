"""The laptop's AWS: stand-ins that speak the real wire protocols on loopback."""
