"""A record in, one HTML file out; reads records only.

The page answers, for one run's own network and data, what people ask about epochs, batches
and iterations. It is made from what the run's folder holds and from nothing else.
"""

from epochwise.report.budget import budget_of
from epochwise.report.page import page
from epochwise.report.serving import LivePage, LiveServer
from epochwise.report.story import Story, read_story

__all__ = ["LivePage", "LiveServer", "Story", "budget_of", "page", "read_story"]
