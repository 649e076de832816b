"""The geometry of a picture: its size, and what overlaps in it, read by a browser from the SVG."""

import re

from tinygrad_scalar.drawing import Drawing


def size(svg):
    width, height = re.search(r'<svg width="([\d.]+)pt" height="([\d.]+)pt"', svg).groups()
    return float(width), float(height)


def scale(svg):
    """What letters are shrunk to."""
    return min(map(float, re.findall(r"scale\(([\d.]+)", svg)), default=1.0)


_MEASURE = """
const boxes = [], faults = [];
for (const node of document.querySelectorAll('.node:not(.legend):not(.omitted)')) {
  const shape = node.querySelector('path, ellipse, polygon');
  const box = shape.getBBox();
  boxes.push(box);
  for (const text of node.querySelectorAll('text')) {
    const t = text.getBBox();
    if (t.x < box.x || t.x + t.width > box.x + box.width || t.y < box.y - 2
        || t.y + t.height > box.y + box.height + 2)
      faults.push('text outside its box: ' + text.textContent);
  }
}
for (let i = 0; i < boxes.length; i++)
  for (let j = 0; j < i; j++) {
    const a = boxes[i], b = boxes[j];
    if (a.x < b.x + b.width - 1 && b.x < a.x + a.width - 1
        && a.y < b.y + b.height - 1 && b.y < a.y + a.height - 1)
      faults.push('boxes overlap');
  }
const labels = [...document.querySelectorAll('.edge text')].map(t => [t, t.getBBox()]);
for (const path of labels.length ? document.querySelectorAll('.edge path') : []) {
  const length = path.getTotalLength();
  for (let s = 0; s <= length; s += 4) {
    const p = path.getPointAtLength(s);
    for (const [t, b] of labels)
      if (p.x > b.x + 1 && p.x < b.x + b.width - 1 && p.y > b.y + 2 && p.y < b.y + b.height - 2)
        faults.push('label on a line: ' + t.textContent);
  }
}
return faults;
"""


def faults_of(drawings, browser, tmp_path, svg=Drawing.svg):
    found = {}
    for name, drawing in drawings.items():
        page = tmp_path / "picture.html"
        page.write_text(f"<!doctype html><meta charset=utf-8>{svg(drawing)}", encoding="utf-8")
        browser.get(page.as_uri())
        faults = browser.execute_script(_MEASURE)
        if faults:
            found[name] = sorted(set(faults))[:5]
    return found
