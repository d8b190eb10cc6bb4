"""Ablations (paper §5.3, Tables 3 and 4): a table is a list of rows, a row a frozen set of flags over one path.

`rows` says what each row is, `stages` trains what rows share once, `answers` translates and scores, `engine` does what
is missing and keeps the rest, `report` compares. What is compared with what, and how, is in docs/analysis_plan.md.
"""
