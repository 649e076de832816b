"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const body = document.body;
  const slider = byId("slider");
  const picture = byId("picture");
  const drawing = picture.querySelector("svg");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const PAUSE = 1100; // milliseconds a step stays while playing

  // ── what there is to show: one thing for each row, one step for each position but the first ──
  const things = new Map();
  for (const [key, name, value, given] of data.rows) {
    const cells = byId("row-" + key).cells;
    const node = byId(key);
    const texts = node ? node.querySelectorAll("text:not(.slope)") : [];
    const isValue = key[0] === "u";
    things.set(key, {
      name,
      row: cells[0].parentNode,
      valueCell: cells[1],
      gradientCell: cells[2],
      node,
      operation: byId("f" + key.slice(1)),
      result: byId("r" + key.slice(1)),
      valueText: isValue ? texts[texts.length - 2] : null,
      gradientText: isValue ? texts[texts.length - 1] : null,
      inPicture: isValue && texts.length > 1 ? texts[texts.length - 2].textContent : "",
      value: given ? value : "",
      gradient: "",
      edges: [],
      letters: isValue && texts.length ? texts[texts.length - 1].textContent.length : 0,
      room: isValue ? Math.max(...[...texts].map((text) => text.getComputedTextLength())) : 0,
    });
  }
  for (const thing of things.values()) {
    if (thing.gradientText) {
      thing.gradientText.classList.add("gradient");
    }
  }
  for (const edge of picture.querySelectorAll(".edge[id]")) {
    const found = /^e(?:(\d+)_\d+|.+?_(u\d+|b\d+))$/.exec(edge.id);
    const target = found && things.get(found[1] ? "u" + found[1] : found[2]);
    if (target) {
      target.edges.push(edge);
    }
  }
  // The local derivatives that a step works out, in the box of what fires or at the edge.
  function derivatives(fires, edge, slopes) {
    const thing = things.get(fires);
    const inBox = thing && thing.node ? thing.node.querySelectorAll("text.slope") : [];
    const line = /^e\d+_\d+$/.test(edge) ? byId(edge) : null;
    return [...slopes.map((i) => inBox[i]), line && line.querySelector("text")].filter(Boolean);
  }
  const gradientsSoFar = new Map();
  const steps = data.steps.map(([phase, fires, feeds, edge, entry, symbols, numbers, total, slopes]) => {
    const before = phase === "forward" ? "" : gradientsSoFar.get(feeds) || "";
    if (phase !== "forward") {
      gradientsSoFar.set(feeds, entry);
    }
    return { phase, fires, feeds, edge, entry, before, symbols, numbers, total, derivatives: derivatives(fires, edge, slopes) };
  });
  const operations = steps.filter((step) => step.phase === "forward").length;

  // ── writing ──
  function write(thing) {
    thing.valueCell.textContent = thing.value;
    thing.gradientCell.textContent = thing.gradient;
    if (thing.valueText) {
      thing.valueText.textContent = thing.value ? thing.inPicture : "";
      thing.gradientText.textContent = thing.gradient ? "grad " + short(thing.gradient) : "";
      squeeze(thing);
    }
    for (const part of [thing.node, thing.operation, thing.result, ...thing.edges]) {
      if (part) {
        part.classList.toggle("todo", !thing.value);
      }
    }
  }

  // On its way to its last value an entry may be longer than that: then it is set narrower.
  function squeeze(thing) {
    const text = thing.gradientText;
    text.removeAttribute("textLength");
    if (text.textContent.length > thing.letters && text.getComputedTextLength() > thing.room) {
      text.setAttribute("textLength", thing.room);
      text.setAttribute("lengthAdjust", "spacingAndGlyphs");
    }
  }

  // Six digits, as everywhere in the picture; the table has ten.
  function short(text) {
    const number = Number(text);
    if (!Number.isFinite(number) || text.length <= 8) {
      return text;
    }
    const rounded = String(Number(number.toPrecision(6)));
    return /[.e]/.test(rounded) ? rounded : rounded + ".0";
  }

  let marked = [];
  function mark(element, name) {
    if (element) {
      element.classList.add(name);
      marked.push([element, name]);
    }
  }

  function show(step) {
    for (const [element, name] of marked) {
      element.classList.remove(name);
    }
    marked = [];
    body.dataset.phase = step ? step.phase : "start";
    for (const item of document.querySelectorAll(".phases li")) {
      item.classList.toggle("now", item.dataset.of === body.dataset.phase);
    }
    byId("symbols").textContent = step ? step.symbols : "";
    byId("numbers").textContent = step ? step.numbers : "";
    byId("total").textContent = step ? step.total : "";
    byId("about").textContent = about(step);
    if (!step) {
      return;
    }
    const fires = things.get(step.fires);
    const feeds = things.get(step.feeds);
    if (step.phase === "backward") {
      mark(fires ? fires.node : byId(step.fires), "fires");
      mark(fires && fires.row, "fires");
      mark(byId(step.edge), "active");
    } else if (feeds) {
      mark(feeds.operation, "fires");
      if (step.phase === "forward") {
        [feeds.result, ...feeds.edges].forEach((edge) => mark(edge, "active"));
      }
    }
    mark(feeds ? feeds.node : byId(step.feeds), "feeds");
    if (feeds) {
      mark(feeds.row, "feeds");
      mark(feeds.row, step.phase === "forward" ? "entry-value" : "entry-gradient");
      bringRowIntoView(feeds.row);
    }
    bringIntoView(byId(step.feeds), byId(step.fires));
  }

  function about(step) {
    if (!step) {
      return "The inputs are given. Step forward with → or the slider, or play with the space bar.";
    }
    if (step.phase === "forward") {
      return `Forward: operation ${position} of ${operations}`;
    }
    if (step.phase === "seed") {
      return "The seed: how the output changes with itself";
    }
    const edge = position - operations - 1;
    const end = position === steps.length ? ". Every gradient is final." : "";
    return `Backward: edge ${edge} of ${steps.length - operations - 1}${end}`;
  }

  // ── moving ──
  let position = 0;
  function go(target) {
    const to = Math.max(0, Math.min(steps.length, target));
    const changed = new Set();
    const change = (key, kind, text) => {
      const thing = things.get(key);
      if (thing) {
        thing[kind] = text;
        changed.add(thing);
      }
    };
    for (; position < to; position += 1) {
      const step = steps[position];
      change(step.feeds, step.phase === "forward" ? "value" : "gradient", step.entry);
      step.derivatives.forEach((text) => text.classList.remove("unknown"));
    }
    for (; position > to; position -= 1) {
      const step = steps[position - 1];
      change(step.feeds, step.phase === "forward" ? "value" : "gradient", step.before);
      step.derivatives.forEach((text) => text.classList.add("unknown"));
    }
    changed.forEach(write);
    const step = steps[position - 1];
    show(step);
    slider.value = String(position);
    const said = step ? `${step.symbols} ${step.numbers} ${step.total}` : "the inputs are given";
    slider.setAttribute("aria-valuetext", `Step ${position} of ${steps.length}: ${said}`);
    byId("count").textContent = `${position} of ${steps.length}`;
    byId("first").disabled = byId("back").disabled = position === 0;
    byId("last").disabled = byId("forward").disabled = position === steps.length;
  }

  let timer = 0;
  function play(on) {
    clearInterval(timer);
    timer = 0;
    if (on) {
      if (position === steps.length) {
        go(0);
      }
      timer = setInterval(() => {
        go(position + 1);
        if (position === steps.length) {
          play(false);
        }
      }, PAUSE);
    }
    body.classList.toggle("playing", on);
    byId("play").setAttribute("aria-label", on ? "Pause" : "Play");
    byId("line").setAttribute("aria-live", on ? "off" : "polite");
  }

  function stepBy(distance) {
    play(false);
    go(position + distance);
  }

  // ── keeping in view what changes, by scrolling the frames and never the page ──
  function bringRowIntoView(row) {
    const frame = byId("entries");
    const top = row.offsetTop;
    const head = row.closest("table").tHead.offsetHeight;
    if (top - head < frame.scrollTop || top + row.offsetHeight > frame.scrollTop + frame.clientHeight) {
      frame.scrollTo({ top: top - frame.clientHeight / 2, behavior: "auto" });
    }
  }

  // All of the elements if they fit, else the first.
  function bringIntoView(...elements) {
    const frame = picture.getBoundingClientRect();
    const boxes = elements.filter(Boolean).map((element) => element.getBoundingClientRect());
    if (!boxes.length) {
      return;
    }
    const around = {
      left: Math.min(...boxes.map((box) => box.left)),
      right: Math.max(...boxes.map((box) => box.right)),
      top: Math.min(...boxes.map((box) => box.top)),
      bottom: Math.max(...boxes.map((box) => box.bottom)),
    };
    const fits = around.right - around.left < frame.width && around.bottom - around.top < frame.height;
    const box = fits ? around : boxes[0];
    const inside =
      box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom;
    if (!inside) {
      picture.scrollTo({
        left: picture.scrollLeft + (box.left + box.right - frame.left - frame.right) / 2,
        top: picture.scrollTop + (box.top + box.bottom - frame.top - frame.bottom) / 2,
        behavior: calm ? "auto" : "smooth",
      });
    }
  }

  // ── the size of the picture ──
  const [, , width, height] = drawing.getAttribute("viewBox").split(/[\s,]+/).map(Number);
  let zoom = 1;
  function resize(to) {
    zoom = Math.max(0.15, Math.min(4, to));
    drawing.setAttribute("width", `${width * zoom}px`);
    drawing.setAttribute("height", `${height * zoom}px`);
  }
  const fitting = () =>
    Math.min((picture.clientWidth - 26) / width, (picture.clientHeight - 26) / height);

  // ── on a wall ──
  function wall(on) {
    body.classList.toggle("wall", on);
    byId("wall").setAttribute("aria-pressed", String(on));
    const asked = on ? document.documentElement.requestFullscreen : document.exitFullscreen;
    if (asked && on !== Boolean(document.fullscreenElement)) {
      // Where a frame may not fill the screen, the page still fills the frame.
      asked.call(on ? document.documentElement : document).catch(() => {});
    }
    resize(on ? fitting() : preferred());
    go(position);
  }
  document.addEventListener("fullscreenchange", () => {
    if (!document.fullscreenElement && body.classList.contains("wall")) {
      wall(false);
    }
  });
  addEventListener("resize", () => {
    if (body.classList.contains("wall")) {
      resize(fitting());
    }
  });

  byId("wall").addEventListener("click", () => wall(!body.classList.contains("wall")));
  byId("smaller").addEventListener("click", () => resize(zoom / 1.25));
  byId("larger").addEventListener("click", () => resize(zoom * 1.25));
  byId("fit").addEventListener("click", () => resize(Math.min(fitting(), 1.6)));
  byId("first").addEventListener("click", () => stepBy(-steps.length));
  byId("back").addEventListener("click", () => stepBy(-1));
  byId("forward").addEventListener("click", () => stepBy(+1));
  byId("last").addEventListener("click", () => stepBy(+steps.length));
  byId("play").addEventListener("click", () => play(!timer));
  slider.addEventListener("input", () => {
    play(false);
    go(Number(slider.value));
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const onSlider = event.target === slider;
    const moves = { ArrowRight: 1, ArrowLeft: -1, Home: -steps.length, End: steps.length };
    if (event.key in moves && !onSlider) {
      event.preventDefault();
      stepBy(moves[event.key]);
    } else if (event.key === "f" || (event.key === "Escape" && body.classList.contains("wall"))) {
      wall(event.key === "f" && !body.classList.contains("wall"));
    } else if (event.key === " " && event.target.tagName !== "BUTTON") {
      event.preventDefault();
      play(!timer);
    }
  });

  // Small pictures are shown large, wide ones at a size that can be read, to be scrolled.
  const preferred = () => Math.min(Math.max(fitting(), 0.85), 1.6);
  resize(preferred());
  body.classList.toggle("small", steps.length <= 300); // glow and motion cost time in a large picture
  things.forEach(write);
  steps.forEach((step) => step.derivatives.forEach((text) => text.classList.add("unknown")));
  go(0);
})();
