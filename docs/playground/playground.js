// The playground of the front page: an expression with sliders, a Python prompt, and a small
// network in training. All computing is done by the library itself, in worker.js.
"use strict";

(() => {
  const root = document.getElementById("playground");
  if (!root) return;
  const here = new URL("playground/", new URL(root.dataset.base || "./", document.baseURI));
  const find = (name) => root.querySelector(`[data-part="${name}"]`);
  const status = find("status");
  let worker = null;
  let ready = false;
  let number = 0;
  const waiting = new Map();

  // ── the worker ────────────────────────────────────────────────────────────────────────────
  function ask(call, ...given) {
    return new Promise((resolve) => {
      number += 1;
      waiting.set(number, resolve);
      worker.postMessage({ id: number, call, given });
    });
  }

  function cannot(why) {
    find("progress").hidden = true;
    status.textContent = why;
    root.dataset.state = "failed";
  }

  function startWorker() {
    if (window.location.protocol === "file:") {
      cannot(
        "The playground needs a server, since browsers load no WebAssembly from files: run " +
          "“python -m http.server” in the folder of this site and open http://localhost:8000. " +
          "All other pages, and the search, work as they are.",
      );
      return;
    }
    if (typeof WebAssembly !== "object" || typeof Worker !== "function") {
      cannot(
        "This browser has no WebAssembly, in which the playground runs Python. All other pages " +
          "work as they are; on your own machine: pip install tinygrad_scalar.",
      );
      return;
    }
    ready = false;
    root.dataset.state = "loading";
    find("progress").hidden = false;
    status.textContent = "Loading Python and the library …";
    worker = new Worker(new URL("worker.js", here));
    worker.onmessage = ({ data }) => {
      if ("progress" in data) find("progress").value = data.progress;
      else if (data.failed) cannot(`The playground could not be loaded: ${data.failed}`);
      else if (data.ready) {
        ready = true;
        root.dataset.state = "ready";
        find("progress").hidden = true;
        status.textContent = "Ready: the library itself runs in this page.";
        update();
      } else {
        waiting.get(data.id)?.(data.answer);
        waiting.delete(data.id);
      }
    };
    worker.onerror = (event) => cannot(`The playground could not be loaded: ${event.message}`);
  }

  // ── tabs ──────────────────────────────────────────────────────────────────────────────────
  const tabs = [...root.querySelectorAll('[role="tab"]')];
  function choose(tab, focus = false) {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
    if (focus) tab.focus();
    if (tab.id !== "playground-tab-training") stopTraining();
  }
  for (const [i, tab] of tabs.entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const last = tabs.length - 1;
      const next = { ArrowRight: i < last ? i + 1 : 0, ArrowLeft: i ? i - 1 : last, Home: 0, End: last };
      if (!(event.key in next)) return;
      event.preventDefault();
      choose(tabs[next[event.key]], true);
    });
  }

  // ── an expression, its sliders, its picture and its table ─────────────────────────────────
  const field = find("expression");
  const at = {};
  let busy = false;
  let again = null; // whether a slider was moving, at the newest change that is not shown yet
  let rest = 0;

  function fromLink() {
    const given = new URLSearchParams(window.location.hash.slice(1));
    if (!given.has("e")) return;
    field.value = given.get("e");
    for (const [name, value] of given)
      if (name !== "e" && Number.isFinite(Number(value))) at[name] = Number(value);
  }

  function link() {
    const given = new URLSearchParams({ e: field.value, ...at });
    return `${window.location.href.split("#")[0]}#${given}`;
  }

  async function update(moving = false) {
    if (!ready) return;
    if (busy) {
      again = moving && again !== false; // the newest state is shown, what came between is not
      return;
    }
    busy = true;
    const found = await ask("evaluate", field.value, at, moving);
    busy = false;
    show(found);
    if (again === null) return;
    const next = again;
    again = null;
    update(next);
  }

  // While it moves, the picture keeps its layout; once it rests, the boxes fit their numbers again.
  function moved() {
    update(true);
    window.clearTimeout(rest);
    rest = window.setTimeout(() => update(), 200);
  }

  function show(found) {
    find("error").textContent = found.error ?? "";
    find("warnings").textContent = (found.warnings ?? []).join("\n");
    field.setAttribute("aria-invalid", String(Boolean(found.error)));
    find("step").disabled = Boolean(found.error) || !found.steps;
    if (found.error) return;
    for (const name of Object.keys(at)) if (!(name in found.names)) delete at[name];
    Object.assign(at, found.names);
    find("value").textContent = `${found.formula} = ${found.value}`;
    showSliders(found);
    if (found.svg) showPicture(found.svg);
    else relabel(found.labels);
    showTable(found);
    window.history.replaceState(null, "", link());
  }

  function showSliders(found) {
    const place = find("sliders");
    const names = Object.keys(found.names);
    if ([...place.children].map((row) => row.dataset.name).join() !== names.join()) {
      place.replaceChildren(...names.map(slider));
    }
    for (const row of place.children) {
      const name = row.dataset.name;
      const slope = Number(found.gradients[name]).toPrecision(6);
      row.querySelector("[aria-hidden]").textContent = `${at[name]} · ∂/∂${name} = ${slope}`;
      row.querySelector("input").setAttribute("aria-valuetext", `${at[name]}, derivative ${slope}`);
    }
  }

  function slider(name) {
    const row = document.createElement("label");
    row.dataset.name = name;
    const title = document.createElement("span");
    title.textContent = name;
    const input = document.createElement("input");
    const reach = Math.max(5, 2 * Math.abs(at[name]));
    Object.assign(input, { type: "range", min: -reach, max: reach, step: reach / 500 });
    input.value = at[name];
    input.addEventListener("input", () => {
      at[name] = Number(input.value);
      moved();
    });
    const told = document.createElement("span"); // the slider itself tells a screen reader
    told.setAttribute("aria-hidden", "true");
    row.append(title, input, told);
    return row;
  }

  // Graphviz escapes labels; scripts and handlers are taken out all the same.
  function showPicture(svg) {
    const picture = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
    for (const element of [...picture.querySelectorAll("script, foreignObject")]) element.remove();
    for (const element of picture.querySelectorAll("*"))
      for (const { name } of [...element.attributes])
        if (/^on|href$/i.test(name)) element.removeAttribute(name);
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", `computational graph of ${field.value}`);
    find("picture").replaceChildren(document.adoptNode(picture));
  }

  // Each label goes to the node or edge of its name; of edges side by side to the next one.
  function relabel(labels) {
    const places = {};
    for (const title of find("picture").querySelectorAll(".node > title, .edge > title"))
      (places[title.textContent] ??= []).push(title.parentNode);
    for (const [part, lines] of labels) {
      const texts = places[part.replace(" -> ", "->")]?.shift()?.querySelectorAll("text") ?? [];
      for (const [i, text] of [...texts].entries()) text.textContent = lines[i] ?? "";
    }
  }

  function showTable(found) {
    const rows = found.table.map((cells) => {
      const row = document.createElement("tr");
      for (const [i, text] of cells.entries()) {
        const cell = document.createElement(i ? "td" : "th");
        if (!i) cell.scope = "row";
        cell.textContent = text;
        row.append(cell);
      }
      return row;
    });
    find("table").replaceChildren(...rows);
    find("count").textContent =
      `${found.edges} edges: ${found.edges} multiplications, ${found.edges} additions`;
  }

  field.addEventListener("input", () => update());
  find("link").addEventListener("click", async () => {
    await navigator.clipboard?.writeText(link());
    status.textContent = "The link is copied.";
  });
  find("step").addEventListener("click", async () => {
    const theme = document.body.dataset.mdColorScheme === "slate" ? "dark" : "light";
    const { html, error } = await ask("steps", field.value, at, theme);
    find("error").textContent = error ?? "";
    if (!html) return;
    const frame = document.createElement("iframe");
    frame.title = `${field.value}, step by step`;
    frame.setAttribute("sandbox", "allow-scripts");
    frame.srcdoc = html;
    find("steps").replaceChildren(frame);
    frame.scrollIntoView({ block: "nearest" });
  });

  // ── a Python prompt ───────────────────────────────────────────────────────────────────────
  const typed = find("line");
  const told = find("console");
  const past = [];
  let place = 0;
  let more = false;
  function print(text) {
    told.append(text);
    told.scrollTop = told.scrollHeight;
  }
  find("prompt").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!ready) return;
    const line = typed.value;
    typed.value = "";
    if (line) past.push(line);
    place = past.length;
    print(`${more ? "..." : ">>>"} ${line}\n`);
    const found = await ask("push", line);
    more = found.more;
    print(found.error ? `${found.error}\n` : found.text);
    find("sign").textContent = more ? "..." : ">>>";
  });
  typed.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    place = Math.min(past.length, Math.max(0, place + step));
    typed.value = past[place] ?? "";
  });
  find("restart").addEventListener("click", () => {
    worker?.terminate();
    waiting.clear();
    busy = more = false;
    again = null;
    told.textContent = "";
    startWorker();
  });

  // ── a network in training ─────────────────────────────────────────────────────────────────
  const canvas = find("regions");
  const box = [-1.5, 2.5, -1, 1.5];
  const [columns, rows] = [48, 30];
  let training = false;
  function stopTraining() {
    training = false;
    find("train").textContent = "Train";
  }
  async function train(restart) {
    training = true;
    find("train").textContent = "Pause";
    while (training) {
      const found = await ask("train", restart, restart ? 1 : 3, columns, rows, box);
      restart = false;
      if (found.error) {
        find("loss").textContent = found.error;
        break;
      }
      draw(found);
      find("loss").textContent =
        `step ${found.steps}: loss ${found.loss.toFixed(4)}, ` +
        `accuracy ${(100 * found.accuracy).toFixed(0)} %`;
      if (found.steps >= 300) break;
    }
    stopTraining();
  }
  function draw({ X, y, scores }) {
    const { width, height } = canvas;
    const pen = canvas.getContext("2d");
    const [w, h] = [width / columns, height / rows];
    scores.forEach((score, i) => {
      const p = 1 / (1 + Math.exp(-score));
      pen.fillStyle = `hsl(${p > 0.5 ? 212 : 28} 85% ${95 - 50 * Math.abs(p - 0.5)}%)`;
      pen.fillRect((i % columns) * w, Math.floor(i / columns) * h, w + 1, h + 1);
    });
    X.forEach(([a, b], i) => {
      const [left, right, low, high] = box;
      pen.beginPath();
      const across = ((a - left) / (right - left)) * width;
      pen.arc(across, ((high - b) / (high - low)) * height, 5, 0, 7);
      pen.fillStyle = y[i] ? "#0969da" : "#bc4c00";
      pen.fill();
      pen.strokeStyle = "#ffffff";
      pen.stroke();
    });
  }
  find("train").addEventListener("click", () => (training ? stopTraining() : ready && train(false)));
  find("anew").addEventListener("click", () => ready && !training && train(true));

  fromLink();
  choose(tabs[0]);
  startWorker();
})();
