// Formulas of the pages, set by KaTeX from this site.
"use strict";
for (const element of document.querySelectorAll(".arithmatex"))
  renderMathInElement(element, { throwOnError: false });
