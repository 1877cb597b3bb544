"""The judge: rubric, prompt, verdict, and the calls that buy one."""
