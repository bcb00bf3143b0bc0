"""Stored trials → people: a table for the terminal, a self-contained HTML page with the trade-offs as pictures."""

from rena_kws.report.html import write_html
from rena_kws.report.pareto import pareto_front
from rena_kws.report.table import render_table

__all__ = ["pareto_front", "render_table", "write_html"]
