"""The console: pages for who is on call. `app.py` is its story, `pages/` says how a page is written."""
