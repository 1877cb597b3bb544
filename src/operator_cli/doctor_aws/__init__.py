"""`llm-platform doctor --aws`: what only an account can show, before traffic comes.

One file a subject: each asks the account and judges what it says in functions that are given the answers.
`account` puts them in order. Tables, streams, alarms and receivers are looked at by every `doctor`.
"""
