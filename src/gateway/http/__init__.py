"""The HTTP side of the gateway: the application, what wraps every request, and the form faults take."""
