// The library in the browser: Pyodide, the wheels beside this site, and Graphviz, all in a worker,
// so that the page stays awake while Python computes, and can stop it.
"use strict";

const base = new URL("../vendor/", self.location.href);
let api = null;
let prompt = null;
let training = null;
let viz = null;

async function fetched(name, tell) {
  const response = await fetch(new URL(name, base));
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  const reader = response.body.getReader();
  const parts = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    tell(value.length);
  }
  return new Blob(parts).arrayBuffer();
}

async function start() {
  const manifest = await (await fetch(new URL("manifest.json", base))).json();
  let loaded = 0;
  const tell = (bytes) => {
    loaded += bytes;
    self.postMessage({ progress: Math.min(0.8, (0.8 * loaded) / manifest.bytes) });
  };
  const wheels = manifest.wheels.map((name) => fetched(name, tell));
  await Promise.all(manifest.runtime.map((name) => fetched(name, tell))); // now in the cache
  importScripts(new URL("pyodide/pyodide.js", base), new URL("viz/viz-global.js", base));
  const [python, instance] = await Promise.all([
    loadPyodide({ indexURL: new URL("pyodide/", base).href }),
    Viz.instance(),
  ]);
  viz = instance;
  self.postMessage({ progress: 0.9 });
  self.layout = (source, format) => viz.renderString(source, { format });
  for (const wheel of wheels) python.unpackArchive(await wheel, "wheel");
  const source = await (await fetch(new URL("../playground/api.py", base))).text();
  python.FS.writeFile("api.py", source);
  api = python.pyimport("api");
  self.postMessage({ ready: true });
}

const calls = {
  evaluate: (text, at, moving) => JSON.parse(api.evaluate(text, JSON.stringify(at), moving)),
  steps: (text, at, theme) => JSON.parse(api.steps_page(text, JSON.stringify(at), theme)),
  push(line) {
    prompt ??= api.Prompt();
    return JSON.parse(prompt.push(line));
  },
  train(restart, count, columns, rows, box) {
    if (restart || training === null) training = api.Training();
    const points = JSON.parse(training.points());
    const told = JSON.parse(training.step(count));
    const scores = JSON.parse(training.regions(columns, rows, JSON.stringify(box)));
    return { ...told, ...points, scores };
  },
};

self.onmessage = ({ data: { id, call, given } }) => {
  try {
    self.postMessage({ id, answer: calls[call](...given) });
  } catch (error) {
    const told = String(error.message ?? error);
    const stopped = error instanceof RangeError || /fatal/i.test(told);
    const why = "Python ran out of room and has stopped: start it anew, below the prompt.";
    self.postMessage({ id, answer: { error: stopped ? why : told } });
  }
};

start().catch((error) => self.postMessage({ failed: String(error.message ?? error) }));
