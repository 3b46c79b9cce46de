"""The page at `/`: what is served and how to ask it. It loads nothing from anywhere."""

from __future__ import annotations

from html import escape
from string import Template

from serving.champion import Champion
from serving.example import curl

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Assay</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
  pre { background: #8881; padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
  td { padding: .2rem 1rem .2rem 0; vertical-align: top; }
  :root { color-scheme: light dark; }
</style>
<h1>Assay</h1>
<p>$state</p>
<table>
  <tr><td><code>POST /value</code><td>the value of one home: ranges, reasons and comparable sales
  <tr><td><code>POST /value_batch</code><td>the values of many homes
  <tr><td><code>POST /compare</code><td>two valuations, and the steps from one to the other
  <tr><td><code>GET /valuations/{id}</code><td>a valuation that was told, explained again
  <tr><td><a href="/model"><code>GET /model</code></a><td>the model that serves, the fields it takes
  <tr><td><a href="/report"><code>GET /report</code></a><td>why it serves: the verdict, its figures, plots and lineage
  <tr><td><a href="/openapi.json"><code>GET /openapi.json</code></a><td>this interface, for machines
  <tr><td><a href="/livez"><code>GET /livez</code></a><td>the process is alive
  <tr><td><a href="/readyz"><code>GET /readyz</code></a><td>a model can value homes
  <tr><td><a href="/metrics"><code>GET /metrics</code></a><td>Prometheus metrics
</table>
$example
</html>
""")


def page(champion: Champion | None, missing: str, port: int) -> str:
    """The page for the model that serves, or for its absence; `port` is where it was asked for."""
    if champion is None:
        return _PAGE.substitute(state=f"Not ready: {escape(missing)}", example="")
    card, until = champion.card, champion.valuer.memory_end
    state = f"Serving {card['name']} version {card['version']}, {champion.market.label}, sales up to {until}."
    command = curl(f"http://127.0.0.1:{port}", {"home": dict(champion.valuer.typical)})
    return _PAGE.substitute(state=escape(state), example=f"<h2>Ask it</h2><pre>{escape(command)}</pre>")
