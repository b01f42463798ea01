"""Views of a lab: SVG pictures, HTML for notebooks, GitHub and print, and a page that steps through a trace."""

from cnmsim.observe.views.cards import host_card, hosts_card, render
from cnmsim.observe.views.matrix import matrix_svg
from cnmsim.observe.views.picture import Picture, draw
from cnmsim.observe.views.rules import LookupView, RoutesView, RulesView, lookup, routes, rules
from cnmsim.observe.views.steps import picture_of, save_walk, walk_html
from cnmsim.observe.views.widget import walk_widget

__all__ = [
    "LookupView", "Picture", "RoutesView", "RulesView", "draw", "host_card", "hosts_card", "lookup",
    "matrix_svg", "picture_of", "render", "routes", "rules", "save_walk", "walk_html", "walk_widget",
]  # fmt: skip
