"""How each kind of model is counted: the text that it reads of a request, and the tokens of that text."""
